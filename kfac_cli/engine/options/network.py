"""The words that a network is described by. Nothing here needs torch."""

from typing import Literal

Activation = Literal["logistic", "tanh", "relu", "linear"]
Output = Literal["bernoulli", "gaussian", "categorical"]
Initialization = Literal["sparse", "glorot", "he"]

CONNECTIONS = 15
"""Incoming weights of a unit in sparse initialisation (Martens 2010)."""
