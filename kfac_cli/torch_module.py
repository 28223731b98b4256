"""Conversion between the engine's networks and PyTorch modules.

A network becomes a `torch.nn.Sequential` of Linear layers and activation functions; an MLP of that
form becomes the engine's `Network` and its parameters.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from kfac_cli.engine import Network, Parameters
from kfac_cli.own_network.layers import ACTIVATION_MODULES, MEAN_MODULES, read_perceptron
from kfac_cli.parameters_file import read_parameters


def to_sequential(
    network: Network, parameters: Parameters, output_activation: bool = False
) -> nn.Sequential:
    """The network as a module from inputs (m, d_0) to natural parameters s_ℓ (m, d_ℓ).

    Modules 0, 2, 4, … are the Linear layers W_1, W_2, W_3, …, so that the state_dict has
    `0.weight`, `0.bias`, `2.weight` and so on; those between are φ_i, Identity for a linear layer.
    `output_activation` appends the function that gives the predictive mean: Sigmoid for Bernoulli
    outputs, Softmax for categorical ones, Identity for Gaussian ones. The weights are copies of the
    same dtype and device. Raises ValueError if the shapes of `parameters` are not the network's.
    """
    shapes = [tuple(weights.shape) for weights in parameters]
    if shapes != network.parameter_shapes:
        raise ValueError(
            f"parameters: shapes {shapes}, but the network has {network.parameter_shapes}"
        )
    modules: list[nn.Module] = []
    for weights, name in zip(parameters, network.activations, strict=False):
        modules += [_linear(weights), ACTIVATION_MODULES[name]()]
    modules.append(_linear(parameters[-1]))
    if output_activation:
        make = MEAN_MODULES[network.output]
        modules.append(nn.Softmax(1) if make is nn.Softmax else make())
    return nn.Sequential(*modules)


def from_sequential(module: nn.Sequential, output: str) -> tuple[Network, Parameters]:
    """The engine's network and parameters for an MLP with the engine's distribution `output`.

    `module` is a Sequential, possibly nested, of Linear layers, each but the last followed by a
    Sigmoid, Tanh or ReLU, or by Identity or nothing if it is linear. The last Linear gives the
    natural parameters s_ℓ; a function after it that gives their mean (Sigmoid for `bernoulli`,
    Softmax or LogSoftmax for `categorical`) is omitted, since it is part of the output
    distribution, and so is Flatten, as inputs are (m, d_0). A Linear without bias gets trainable
    biases of 0. The parameters are copies. Raises ValueError, naming the layer as the state_dict
    does, for other modules, widths that do not match, and mixed dtypes or devices.
    """
    perceptron = read_perceptron(module)
    return perceptron.network(output), perceptron.parameters


def load_network(
    path: str | Path, choice: str = "best", output_activation: bool = False
) -> nn.Sequential:
    """The network in a run's parameters.pt as a module: `to_sequential` of `read_parameters`.

    It has the parameters with the training error that the run reports as its best, or by `choice`
    the `average` or the last `iterate`. Raises UserError and ValueError as `read_parameters` does.
    """
    return to_sequential(*read_parameters(path, choice), output_activation)


def _linear(weights: Tensor) -> nn.Linear:
    """A Linear with copies of W_i."""
    units, inputs = weights.shape
    # On the meta device the initialisation draws no random numbers.
    linear = nn.Linear(inputs - 1, units, device="meta")
    weight = weights[:, :-1].detach().clone(memory_format=torch.contiguous_format)
    linear.weight = nn.Parameter(weight)
    linear.bias = nn.Parameter(weights[:, -1].detach().clone())
    return linear
