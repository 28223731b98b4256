"""Problems that are legal, however little there is to learn: finite figures, no harm done."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
import torch

from kfac_cli.engine import (
    KFAC,
    KFACOptions,
    NesterovOptions,
    NesterovSGD,
    Network,
    evaluate,
    sparse_initialization,
)
from kfac_cli.recording import read_table

CASES = 12


class Problem:
    """A network, where it starts, and what it is to learn; without targets its inputs."""

    def __init__(self, sizes, activations, output, inputs, targets=None, scale=1.0, bias=0.0):
        self.network = Network(sizes, activations, output)
        self.inputs = inputs
        self.targets = inputs if targets is None else targets
        generator = torch.Generator().manual_seed(1)
        self.parameters = [scale * w for w in sparse_initialization(self.network, generator)]
        self.parameters[0][:, -1] += bias


def uniform(cases, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(cases, width, generator=generator, dtype=torch.float64)


def full(value, cases=CASES, width=5):
    return torch.full((cases, width), value, dtype=torch.float64)


def binary(cases=CASES, width=5, seed=0):
    return (uniform(cases, width, seed) > 0.5).double()


PROBLEMS = {
    "one case": lambda: Problem([5, 4, 5], ["logistic"], "bernoulli", uniform(1, 5)),
    "one case of a regression": lambda: Problem(
        [5, 4, 3], ["tanh"], "gaussian", uniform(1, 5), uniform(1, 3)
    ),
    "the same case again and again": lambda: Problem(
        [5, 4, 5], ["logistic"], "bernoulli", uniform(1, 5).repeat(CASES, 1)
    ),
    "a layer of one unit": lambda: Problem(
        [5, 1, 5], ["logistic"], "bernoulli", uniform(CASES, 5)
    ),
    "one unit in every layer": lambda: Problem(
        [1, 1, 1, 1], ["logistic", "tanh"], "bernoulli", uniform(CASES, 1)
    ),
    "one weight and one bias": lambda: Problem(
        [1, 1], [], "gaussian", uniform(CASES, 1), uniform(CASES, 1, seed=1)
    ),
    "one class": lambda: Problem([3, 2, 1], ["tanh"], "categorical", uniform(9, 3), full(1, 9, 1)),
    "a dead layer": lambda: Problem(
        [5, 6, 6, 5], ["relu", "relu"], "bernoulli", uniform(CASES, 5), bias=-1e3
    ),
    "all weights 0": lambda: Problem(
        [5, 4, 4, 5], ["relu", "tanh"], "gaussian", uniform(CASES, 5), scale=0
    ),
    "constant inputs": lambda: Problem([5, 4, 5], ["logistic"], "bernoulli", full(0.5)),
    "inputs of 0": lambda: Problem([5, 4, 5], ["logistic"], "bernoulli", full(0)),
    "inputs of 1": lambda: Problem([5, 4, 5], ["logistic"], "bernoulli", full(1)),
    "nothing left to learn": lambda: Problem([5, 4, 5], ["linear"], "gaussian", full(0)),
    "targets of 0 and 1": lambda: Problem(
        [5, 4, 5], ["logistic"], "bernoulli", uniform(CASES, 5), binary()
    ),
    "inputs of 0 and 1": lambda: Problem([5, 8, 5], ["logistic"], "bernoulli", binary()),
    "saturated units": lambda: Problem(
        [5, 6, 5], ["logistic"], "bernoulli", uniform(CASES, 5), scale=100
    ),
    "saturated on the wrong side": lambda: Problem(
        [5, 6, 5], ["logistic"], "bernoulli", uniform(CASES, 5), full(0), scale=1e4
    ),
    "saturated tanh units": lambda: Problem(
        [5, 6, 6, 5], ["tanh", "tanh"], "gaussian", uniform(CASES, 5), scale=1e3
    ),
    "20 layers of logistic units": lambda: Problem(
        [5, *[4] * 19, 5], ["logistic"] * 19, "bernoulli", uniform(CASES, 5)
    ),
    "20 layers of rectified units": lambda: Problem(
        [5, *[4] * 19, 5], ["relu"] * 19, "gaussian", uniform(CASES, 5)
    ),
    "20 linear layers": lambda: Problem(
        [5, *[4] * 19, 5], ["linear"] * 19, "gaussian", uniform(CASES, 5)
    ),
    "huge inputs": lambda: Problem(
        [5, 4, 3], ["logistic"], "gaussian", 1e6 * uniform(CASES, 5), uniform(CASES, 3)
    ),
    "huge inputs and targets": lambda: Problem(
        [5, 4, 5], ["linear"], "gaussian", 1e6 * uniform(CASES, 5)
    ),
    "tiny inputs and targets": lambda: Problem(
        [5, 4, 5], ["linear"], "gaussian", 1e-8 * uniform(CASES, 5)
    ),
}

PERIODS = {"t1": 2, "t2": 5, "t3": 5}
WHOLE = {"tau1": 1.0, "tau2": 1.0}
OPTIMIZERS = {
    f"{inverse}, lambda {damping or 'auto'}{', tau 1' if shares else ''}": lambda network, theta, l2, generator, inverse=inverse, damping=damping, shares=shares: KFAC(
        network,
        theta,
        KFACOptions(
            inverse=inverse, l2=l2, lambda_initial=damping, chunk_size=5, **PERIODS, **shares
        ),
        generator,
    )
    for inverse in ("block_tridiagonal", "block_diagonal")
    for damping, shares in ((1.0, {}), (150.0, {}), (None, WHOLE))
}
