"""Conversion between the engine's networks and PyTorch modules.

A network becomes a `torch.nn.Sequential` of Linear layers and activation functions; an MLP of that
form becomes the engine's `Network` and its parameters.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from kfac_cli.engine import Network, Parameters
from kfac_cli.parameters_file import read_parameters

ACTIVATION_MODULES: dict[str, type[nn.Module]] = {
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "linear": nn.Identity,
}
"""The activation functions of hidden layers."""

MEAN_MODULES: dict[str, type[nn.Module]] = {
    "bernoulli": nn.Sigmoid,
    "gaussian": nn.Identity,
    "categorical": nn.Softmax,
}
"""The functions from the natural parameters of an output to its mean."""


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
    Softmax for `categorical`) is omitted, since it is part of the output distribution. A Linear
    without bias gets trainable biases of 0. The parameters are copies. Raises ValueError, naming
    the layer as the state_dict does, for other modules, widths that do not match, and mixed dtypes
    or devices.
    """
    if type(module) is not nn.Sequential:
        raise ValueError(f"module: must be a Sequential, not a {type(module).__name__}")
    layers = _parse(module)
    _check_mean(layers[-1], output)
    activations = [_activation(layer) for layer in layers[:-1]]
    parameters = [_weights(layer.linear) for layer in layers]
    sizes = [layers[0].linear.in_features, *(layer.linear.out_features for layer in layers)]
    return Network(sizes, activations, output), parameters


def load_network(
    path: str | Path, choice: str = "best", output_activation: bool = False
) -> nn.Sequential:
    """The network in a run's parameters.pt as a module: `to_sequential` of `read_parameters`.

    It has the parameters with the training error that the run reports as its best, or by `choice`
    the `average` or the last `iterate`. Raises UserError and ValueError as `read_parameters` does.
    """
    return to_sequential(*read_parameters(path, choice), output_activation)


@dataclass
class _Layer:
    """A Linear and the function after it, with their names in the state_dict."""

    name: str
    linear: nn.Linear
    function_name: str = ""
    function: nn.Module | None = None


def _parse(module: nn.Sequential) -> list[_Layer]:
    known = {*ACTIVATION_MODULES.values(), *MEAN_MODULES.values()}
    layers: list[_Layer] = []
    for name, part in _parts(module):
        if type(part) is nn.Linear:
            layers.append(_Layer(name, part))
            _check_fit(layers)
        elif type(part) not in known:
            allowed = "Linear, " + ", ".join(sorted(each.__name__ for each in known))
            raise ValueError(f"{_called(name, part)}: not part of a plain MLP, made of {allowed}")
        elif type(part) is not nn.Identity:
            if not layers:
                raise ValueError(f"{_called(name, part)}: comes before the first Linear")
            if layers[-1].function is not None:
                raise ValueError(
                    f"{_called(name, part)}: a second activation function after that of "
                    f"{_called(layers[-1].name, layers[-1].linear)}"
                )
            layers[-1].function_name, layers[-1].function = name, part
    if not layers:
        raise ValueError("module: has no Linear layer")
    return layers


def _parts(module: nn.Sequential, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules with their names, nested Sequentials flattened."""
    for name, part in module.named_children():
        if type(part) is nn.Sequential:
            yield from _parts(part, f"{prefix}{name}.")
        else:
            yield prefix + name, part


def _check_fit(layers: list[_Layer]) -> None:
    """Raise ValueError if width, dtype or device of the last two layers do not match."""
    if len(layers) < 2:
        return
    below, layer = layers[-2].linear, layers[-1].linear
    called, called_below = (_called(each.name, each.linear) for each in (layers[-1], layers[-2]))
    if below.out_features != layer.in_features:
        raise ValueError(
            f"{called}: takes {layer.in_features} inputs, but {called_below} gives "
            f"{below.out_features}"
        )
    kind, kind_below = (f"{w.dtype} on {w.device}" for w in (layer.weight, below.weight))
    if kind != kind_below:
        raise ValueError(f"{called}: is {kind}, but {called_below} is {kind_below}")


def _activation(layer: _Layer) -> str:
    if layer.function is None:
        return "linear"
    for name, kind in ACTIVATION_MODULES.items():
        if type(layer.function) is kind:
            return name
    called = _called(layer.function_name, layer.function)
    raise ValueError(f"{called}: can only follow the last Linear")


def _check_mean(last: _Layer, output: str) -> None:
    if output not in MEAN_MODULES:
        raise ValueError(f"output={output!r}: must be one of {', '.join(MEAN_MODULES)}")
    function = last.function
    if function is None:
        return
    fits = type(function) is MEAN_MODULES[output]
    if not fits or (isinstance(function, nn.Softmax) and function.dim not in (1, -1)):
        raise ValueError(
            f"{_called(last.function_name, function)}: follows the last Linear, but does not turn "
            f"natural parameters into the mean of a {output} output"
        )


def _called(name: str, part: nn.Module) -> str:
    return f"layer {name} ({type(part).__name__})"


def _linear(weights: Tensor) -> nn.Linear:
    """A Linear with copies of W_i."""
    units, inputs = weights.shape
    # On the meta device the initialisation draws no random numbers.
    linear = nn.Linear(inputs - 1, units, device="meta")
    weight = weights[:, :-1].detach().clone(memory_format=torch.contiguous_format)
    linear.weight = nn.Parameter(weight)
    linear.bias = nn.Parameter(weights[:, -1].detach().clone())
    return linear


def _weights(linear: nn.Linear) -> Tensor:
    """W_i as a new tensor, whose last column is the bias."""
    weight = linear.weight.detach()
    bias = weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.detach()
    return torch.cat([weight, bias[:, None]], dim=1)
