"""Sparse initialisation (Martens 2010, section 5; Sutskever et al. 2013, section 3)."""

import torch

from kfac_cli.engine.model.network import Network
from kfac_cli.engine.parameters import Parameters

TANH_WEIGHT_SCALE = 0.25
TANH_BIAS = 0.5


def sparse_initialization(
    network: Network, generator: torch.Generator, connections: int = 15
) -> Parameters:
    """Give every unit `connections` incoming weights from N(0, 1); all others and biases are 0.

    Positions are drawn without replacement; a unit with fewer inputs is connected to all of them.
    Tanh units get weights scaled by 0.25 and biases of 0.5, which makes them behave like logistic
    units (Sutskever et al. 2013). Returns W_1 … W_ℓ as float64 on the CPU, so that a seed gives
    the same parameters for every dtype and device.
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
