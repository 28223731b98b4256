"""Mini-batches as users of torch have them, in the shapes of the engine."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from kfac_cli.engine import Network

SUM_TOLERANCE = 1e-3
"""How far from 1 rounding may leave the sum of probabilities."""

REAL = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
WHOLE = frozenset({torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64})
"""The types of numbers with which torch can do all that is asked of a mini-batch."""


def as_batch(
    inputs: Tensor, targets: Tensor, network: Network, *, flatten: bool
) -> tuple[Tensor, Tensor]:
    """Inputs (m, d_0) and targets (m, d_ℓ) for the engine, which converts dtype and device.

    Integer labels (m,) of a categorical output become one-hot rows, and targets (m,) of a single
    output become a column; where the module starts with Flatten, inputs and targets of more than
    two dimensions are flattened. The targets remain the same tensor as the inputs if they were.
    Raises ValueError for other types and for targets that the output cannot have; other shapes are
    refused by the engine.
    """
    for name, values in (("inputs", inputs), ("targets", targets)):
        if not isinstance(values, Tensor):
            kind = type(values).__name__
            raise ValueError(f"{name}: must be a tensor, as torch.as_tensor makes it, not a {kind}")
    same = targets is inputs
    for name, values in (("inputs", inputs), ("targets", targets))[: 1 if same else 2]:
        if not values.is_complex() and values.dtype not in REAL | WHOLE:
            raise ValueError(f"{name} of dtype {values.dtype}: convert them, such as with .float()")
        _check_finite(name, values)
    inputs, targets = inputs.detach(), targets.detach()
    if flatten:
        inputs = inputs.flatten(1) if inputs.dim() > 2 else inputs
        targets = targets.flatten(1) if targets.dim() > 2 else targets
    if network.output == "categorical" and targets.dim() == 1:
        return inputs, _one_hot(targets, network.layer_sizes[-1])
    if network.output == "bernoulli":
        _check_probabilities(targets)
    if network.output == "categorical" and targets.shape[1:] == network.layer_sizes[-1:]:
        _check_distributions(targets)
    if targets.dim() == 1 and network.layer_sizes[-1] == 1:
        targets = targets[:, None]
    return inputs, inputs if same else targets


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    if labels.dtype.is_floating_point or labels.dtype.is_complex or labels.dtype is torch.bool:
        raise ValueError(f"targets of dtype {labels.dtype}: class labels must be integers, .long()")
    labels = labels.long()
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong) > 0:
        raise ValueError(f"targets: the label {wrong[0]} is none of the classes 0 to {classes - 1}")
    return one_hot(labels, classes)


def _check_finite(name: str, values: Tensor) -> None:
    if values.is_floating_point() and not bool(torch.isfinite(values).all()):
        raise ValueError(f"{name}: has values that are not finite; leave these cases out")


def _check_distributions(targets: Tensor) -> None:
    """Raise ValueError for rows that are no probabilities of classes."""
    if targets.is_complex() or targets.numel() == 0:
        return  # which the engine refuses
    _check_probabilities(targets, "categorical")
    sums = targets.sum(1, dtype=torch.float64)
    wrong = (sums - 1).abs() > SUM_TOLERANCE
    if bool(wrong.any()):
        total = float(sums[wrong][0])
        raise ValueError(
            f"targets: a row sums to {total:g}; a categorical output has probabilities, which sum "
            "to 1, or integer labels (m,)"
        )


def _check_probabilities(targets: Tensor, output: str = "bernoulli") -> None:
    if targets.is_complex() or targets.numel() == 0:
        return  # which the engine refuses
    low, high = targets.aminmax()
    if not (low >= 0 and high <= 1):
        raise ValueError(f"targets from {low:g} to {high:g}: a {output} output has them in [0, 1]")
