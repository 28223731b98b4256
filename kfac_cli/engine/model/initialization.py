"""Initial parameters: sparse (Martens 2010), Glorot and Bengio (2010), He et al. (2015).

Each function returns W_1 … W_ℓ as float64 on the CPU, so that a seed gives the same parameters for
every dtype and device.
"""

import math

import torch
from torch import Tensor

from kfac_cli.engine.model.network import Network
from kfac_cli.engine.options.network import CONNECTIONS, Initialization
from kfac_cli.engine.parameters import Parameters

TANH_WEIGHT_SCALE = 0.25
TANH_BIAS = 0.5


def initial_parameters(
    network: Network,
    generator: torch.Generator,
    initialization: Initialization = "sparse",
    connections: int = CONNECTIONS,
) -> Parameters:
    """Draw parameters by the named method; `connections` is for `sparse`."""
    if initialization == "glorot":
        return glorot_initialization(network, generator)
    if initialization == "he":
        return he_initialization(network, generator)
    return sparse_initialization(network, generator, connections)


def sparse_initialization(
    network: Network, generator: torch.Generator, connections: int = CONNECTIONS
) -> Parameters:
    """Give every unit `connections` incoming weights from N(0, 1); all others and biases are 0.

    Positions are drawn without replacement; a unit with fewer inputs is connected to all of them.
    Tanh units get weights scaled by 0.25 and biases of 0.5, which makes them behave like logistic
    units. Martens (2010), section 5; Sutskever et al. (2013), section 3.
    """
    parameters = []
    for layer, (units, inputs) in enumerate(network.parameter_shapes):
        fan_in = inputs - 1
        count = min(connections, fan_in)
        order = torch.rand(units, fan_in, generator=generator, dtype=torch.float64)
        positions = order.topk(count, dim=1).indices
        values = torch.randn(units, count, generator=generator, dtype=torch.float64)
        weights = torch.zeros(units, inputs, dtype=torch.float64)
        if layer < len(network.activations) and network.activations[layer] == "tanh":
            values *= TANH_WEIGHT_SCALE
            weights[:, -1] = TANH_BIAS
        parameters.append(weights.scatter_(1, positions, values))
    return parameters


def glorot_initialization(network: Network, generator: torch.Generator) -> Parameters:
    """Draw weights uniformly from ±√(6 / (fan-in + fan-out)); biases are 0.

    The normalized initialization of Glorot and Bengio (2010), equation 16, in its uniform form,
    whatever the activation functions.
    """
    parameters = []
    for units, inputs in network.parameter_shapes:
        bound = math.sqrt(6 / (inputs - 1 + units))
        drawn = torch.rand(units, inputs - 1, generator=generator, dtype=torch.float64)
        parameters.append(_with_zero_biases(bound * (2 * drawn - 1)))
    return parameters


def he_initialization(network: Network, generator: torch.Generator) -> Parameters:
    """Draw weights from N(0, 2 / fan-in), for rectified linear units; biases are 0.

    He et al. (2015), equation 10, whatever the activation functions.
    """
    parameters = []
    for units, inputs in network.parameter_shapes:
        deviation = math.sqrt(2 / (inputs - 1))
        drawn = torch.randn(units, inputs - 1, generator=generator, dtype=torch.float64)
        parameters.append(_with_zero_biases(deviation * drawn))
    return parameters


def _with_zero_biases(weights: Tensor) -> Tensor:
    return torch.nn.functional.pad(weights, (0, 1))
