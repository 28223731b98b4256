"""What K-FAC can train in place: layers whose weights and biases are their own, in one process."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kfac_cli.engine import KFAC, Network
from kfac_cli.engine.processes import Processes
from kfac_cli.own_network.layers import Layer, Perceptron, kind

DTYPES = torch.float32, torch.float64
DEVICES = "cpu", "cuda"


def check_generator(generator: object) -> None:
    """Raise ValueError for what is no generator, or for one of a GPU."""
    if not isinstance(generator, torch.Generator) or generator.device.type != "cpu":
        raise ValueError(
            "generator: must be one on the CPU, such as torch.Generator().manual_seed(1)"
        )


def check_alone() -> None:
    """Raise ValueError where torch.distributed has several processes: they exchange nothing."""
    if (count := Processes.here().count) > 1:
        raise ValueError(
            f"KFACOptimizer: trains in one process, and here are {count}, each of which would "
            "train a network of its own"
        )


def check_trainable(perceptron: Perceptron) -> None:
    """Raise ValueError, naming the layer, unless a step can set all weights and biases.

    It cannot where there is no bias, or where parameters are frozen, shared, computed from others,
    or of a dtype or on a device in which K-FAC does not compute.
    """
    owners: dict[int, Layer] = {}
    for layer in perceptron.layers:
        _check_parameters(layer)
        for name, parameter in layer.linear.named_parameters():
            # The address: tensors that share their memory are tied, whichever objects they are.
            owner = owners.setdefault(parameter.data_ptr(), layer)
            if owner is not layer:
                raise ValueError(
                    f"{layer}: shares its {name} with {owner}; tied weights do not fit"
                )


def _check_parameters(layer: Layer) -> None:
    parameters = dict(layer.linear.named_parameters())
    if layer.linear.bias is None:
        raise ValueError(f"{layer}: has no bias, and needs one: bias=True")
    if computed := {"weight", "bias"} - parameters.keys():
        names = ", ".join(sorted(parameters.keys() - {"weight", "bias"}))
        raise ValueError(f"{layer}: its {min(computed)} is computed from {names}, not trained")
    for name, parameter in parameters.items():
        if not parameter.requires_grad:
            raise ValueError(f"{layer}: its {name} is frozen (requires_grad=False)")
    weight = layer.linear.weight
    if weight.dtype not in DTYPES or weight.device.type not in DEVICES:
        raise ValueError(f"{layer}: is {kind(weight)}; must be float32 or float64 on cpu or cuda")


def check_unchanged(
    perceptron: Perceptron, network: Network, kfac: KFAC, parameters: Sequence[Tensor]
) -> None:
    """Raise ValueError, naming the layer, unless K-FAC was made for a module such as this one.

    Values may have changed. `parameters` are those that the optimizer was made for.
    """
    again = "since the optimizer was made; make a new one"
    known = {id(parameter) for parameter in parameters}
    for layer in perceptron.layers:
        if {id(layer.linear.weight), id(layer.linear.bias)} - known:
            raise ValueError(f"{layer}: was added or replaced {again}")
    for attribute in ("layer_sizes", "activations"):
        if getattr(network, attribute) != getattr(kfac.network, attribute):
            raise ValueError(f"module: other {attribute.replace('_', ' ')} {again}")
    for layer, earlier in zip(perceptron.layers, kfac.parameters, strict=True):
        weight = layer.linear.weight
        if (weight.dtype, weight.device) != (earlier.dtype, earlier.device):
            raise ValueError(f"{layer}: has changed from {kind(earlier)} to {kind(weight)} {again}")
