"""The layers of a torch.nn.Sequential, where it is a multi-layer perceptron that the engine has."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kfac_cli.engine import Network, Parameters

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

IN_PLACE_OF_MEAN: dict[str, tuple[type[nn.Module], ...]] = {"categorical": (nn.LogSoftmax,)}
"""Other functions that may follow the last layer: NLLLoss takes the logarithm of the mean."""


@dataclass(frozen=True)
class Named:
    """A module with its name in the state_dict."""

    name: str
    module: nn.Module

    def __str__(self) -> str:
        return f"layer {self.name} ({type(self.module).__name__})"


@dataclass
class Layer:
    """A Linear and the function after it, if there is one."""

    named: Named
    linear: nn.Linear
    function: Named | None = None

    def __str__(self) -> str:
        return str(self.named)

    @property
    def weights(self) -> Tensor:
        """W_i as a new tensor (d_i, d_{i-1}+1), whose last column is the bias, 0 without one."""
        weight, bias = self.linear.weight.detach(), self.linear.bias
        column = weight.new_zeros(len(weight)) if bias is None else bias.detach()
        return torch.cat([weight, column[:, None]], dim=1)


@dataclass(frozen=True)
class Perceptron:
    """The layers of a module; `flattens` if a Flatten comes before the first of them."""

    layers: Sequence[Layer]
    flattens: bool

    def network(self, output: str) -> Network:
        """The engine's network with the distribution `output`.

        Raises ValueError for an unknown one, and for functions that cannot stand where they do.
        """
        _check_mean(self.layers[-1], output)
        activations = [_activation(layer) for layer in self.layers[:-1]]
        linears = [layer.linear for layer in self.layers]
        sizes = [linears[0].in_features, *(linear.out_features for linear in linears)]
        return Network(sizes, activations, output)

    @property
    def parameters(self) -> Parameters:
        """θ, copied from the module."""
        return [layer.weights for layer in self.layers]

    def set_parameters(self, parameters: Parameters) -> None:
        """Write θ into the module's parameters, in place."""
        for layer, weights in zip(self.layers, parameters, strict=True):
            layer.linear.weight.copy_(weights[:, :-1])
            layer.linear.bias.copy_(weights[:, -1])


def read_perceptron(module: nn.Module) -> Perceptron:
    """The layers of a Sequential, possibly nested, of Linear layers and functions.

    Flatten() flattens the inputs, and does nothing elsewhere. Raises ValueError, naming the layer
    as the state_dict does, for other modules, widths that do not match, mixed dtypes or devices.
    """
    if type(module) is not nn.Sequential:
        raise ValueError(f"module: must be a Sequential, not a {type(module).__name__}")
    layers: list[Layer] = []
    flattens = False
    for named in _parts(module):
        part = named.module
        if type(part) is nn.Linear:
            layers.append(Layer(named, part))
            _check_fit(layers)
        elif type(part) is nn.Flatten:
            if (part.start_dim, part.end_dim) != (1, -1):
                raise ValueError(f"{named}: must flatten all dimensions but the first: Flatten()")
            flattens = flattens or not layers
        else:
            _check_function(layers, named)
            if type(part) is not nn.Identity:
                layers[-1].function = named
    if not layers:
        raise ValueError("module: has no Linear layer")
    return Perceptron(layers, flattens)


def kind(tensor: Tensor) -> str:
    """Dtype and device, in words."""
    return f"{tensor.dtype} on {tensor.device}"


def _parts(module: nn.Sequential, prefix: str = "") -> Iterator[Named]:
    """The modules with their names, nested Sequentials flattened; a module may occur repeatedly."""
    # named_children leaves out what occurred before, such as a Tanh that serves two layers.
    for name, part in zip(module._modules, module, strict=True):
        if type(part) is nn.Sequential:
            yield from _parts(part, f"{prefix}{name}.")
        else:
            yield Named(prefix + name, part)


def _check_fit(layers: list[Layer]) -> None:
    """Raise ValueError if dtype or device of the last layer do not match, or the one below."""
    weight, bias = layers[-1].linear.weight, layers[-1].linear.bias
    if bias is not None and kind(weight) != kind(bias):
        raise ValueError(
            f"{layers[-1]}: its bias is {kind(bias)}, but its weight is {kind(weight)}"
        )
    if len(layers) < 2:
        return
    below, layer = layers[-2:]
    inputs, given = layer.linear.in_features, below.linear.out_features
    if given != inputs:
        raise ValueError(f"{layer}: takes {inputs} inputs, but {below} gives {given}")
    own, other = kind(layer.linear.weight), kind(below.linear.weight)
    if own != other:
        raise ValueError(f"{layer}: is {own}, but {below} is {other}")


def _check_function(layers: list[Layer], named: Named) -> None:
    """Raise ValueError for an unknown module, and for a function where none can be."""
    others = {module for modules in IN_PLACE_OF_MEAN.values() for module in modules}
    known = {*ACTIVATION_MODULES.values(), *MEAN_MODULES.values(), *others}
    if type(named.module) not in known:
        names = ", ".join(sorted(module.__name__ for module in (*known, nn.Flatten)))
        raise ValueError(f"{named}: not part of a plain MLP, made of Linear, {names}")
    if type(named.module) is nn.Identity:
        return
    if not layers:
        raise ValueError(f"{named}: comes before the first Linear")
    if layers[-1].function is not None:
        raise ValueError(f"{named}: a second activation function after that of {layers[-1]}")


def _activation(layer: Layer) -> str:
    if layer.function is None:
        return "linear"
    for name, module in ACTIVATION_MODULES.items():
        if type(layer.function.module) is module:
            return name
    raise ValueError(f"{layer.function}: can only follow the last Linear")


def _check_mean(last: Layer, output: str) -> None:
    if output not in MEAN_MODULES:
        raise ValueError(f"output={output!r}: must be one of {', '.join(MEAN_MODULES)}")
    if last.function is None:
        return
    function = last.function.module
    fits = type(function) in (MEAN_MODULES[output], *IN_PLACE_OF_MEAN.get(output, ()))
    if not fits or getattr(function, "dim", 1) not in (1, -1):
        raise ValueError(
            f"{last.function}: follows the last Linear, but does not turn natural parameters into "
            f"the mean of a {output} output"
        )
