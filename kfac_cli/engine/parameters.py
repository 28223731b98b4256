"""θ as a list of weight matrices, and operations on vectors of its shape.

Results that are numbers stay on the device, as 0-dim float64 tensors; `transfer.fetch` gets them.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from kfac_cli.engine.transfer import fetch_numbers

Parameters = list[Tensor]
"""W_1 … W_ℓ, W_i of shape (d_i, d_{i-1}+1); the last column is the bias. Never changed in place."""


SLICE = 16_384
"""Entries of each vector that `inner_products` copies at once: they stay in a processor's cache."""


def squared_norm(vector: Parameters) -> Tensor:
    """‖·‖² over all layers, accumulated in float64."""
    norms = torch._foreach_norm(vector, 2, dtype=torch.float64)
    return torch.stack(list(norms)).square().sum()


def l2_penalty(parameters: Parameters, l2: float) -> Tensor:
    """(η/2)‖θ‖², accumulated in float64."""
    if l2 == 0:
        return float64_zeros(parameters)
    return squared_norm(parameters).mul_(0.5 * l2)


def add_l2_gradient(gradient: Parameters, parameters: Parameters, l2: float) -> Parameters:
    """Add ηθ to the gradient of the loss, in place."""
    torch._foreach_add_(gradient, parameters, alpha=l2)
    return gradient


def added(u: Parameters, v: Parameters) -> Parameters:
    """The sum u + v."""
    return list(torch._foreach_add(u, v))


def accumulated(total: Parameters, part: Parameters) -> Parameters:
    """The sum of two vectors, in place of `total`; the part itself if `total` is empty."""
    if not total:
        return part
    torch._foreach_add_(total, part)
    return total


def float64_zeros(parameters: Parameters, *shape: int) -> Tensor:
    """Zeros to sum up in, float64 on the device of the parameters."""
    return parameters[0].new_zeros(shape, dtype=torch.float64)


def inner_product(u: Parameters, v: Parameters) -> Tensor:
    """uᵀv in the dtype of the vectors, cheaper than `inner_products`."""
    terms = [torch.dot(a.reshape(-1), b.reshape(-1)) for a, b in zip(u, v, strict=True)]
    return torch.stack(terms).sum(dtype=torch.float64)


def inner_products(vectors: Sequence[Parameters]) -> Tensor:
    """uᵀv for all pairs of D vectors: (D, D), float64."""
    first = vectors[0][0]
    total = first.new_zeros((len(vectors), len(vectors)), dtype=torch.float64)
    for layers in zip(*vectors, strict=True):
        flat = [layer.reshape(-1) for layer in layers]
        entries = len(flat[0])
        width = SLICE if first.device.type == "cpu" else max(entries, 1)
        for start in range(0, entries, width):
            part = torch.stack([each[start : start + width] for each in flat]).to(torch.float64)
            total.addmm_(part, part.T)
    return total


def linear_combination(coefficients: Sequence[float], vectors: Sequence[Parameters]) -> Parameters:
    """Σ c_k v_k, shaped like the parameters.

    A c_k beyond the range of their dtype, which torch refuses, counts as infinite.
    """
    largest = torch.finfo(vectors[0][0].dtype).max
    first, *others = (c if abs(c) <= largest else c * math.inf for c in coefficients)
    total = list(torch._foreach_mul(vectors[0], first))
    for coefficient, vector in zip(others, vectors[1:], strict=True):
        torch._foreach_add_(total, vector, alpha=coefficient)
    return total


def sum_of_entries(tensors: Iterable[Tensor]) -> Tensor:
    """The sum of all entries, which is not finite if one of them is not, at a pass over each.

    It may overflow for entries that are finite.
    """
    return torch.stack([tensor.sum() for tensor in tensors]).sum(dtype=torch.float64)


def all_finite(*groups: Iterable[Tensor]) -> bool:
    """Whether every entry of every tensor is finite."""
    tensors = [tensor for group in groups for tensor in group]
    [total] = fetch_numbers(sum_of_entries(tensors))
    if math.isfinite(total):
        return True
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
