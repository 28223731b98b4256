"""θ as a list of weight matrices, and operations on vectors of its shape."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

Parameters = list[Tensor]
"""W_1 … W_ℓ, W_i of shape (d_i, d_{i-1}+1); the last column is the bias. Never changed in place."""


def l2_penalty(parameters: Parameters, l2: float) -> float:
    """(η/2)‖θ‖², accumulated in float64."""
    return 0.5 * l2 * sum(float(p.square().sum(dtype=torch.float64)) for p in parameters)


def add_l2_gradient(gradient: Parameters, parameters: Parameters, l2: float) -> Parameters:
    """Add ηθ to the gradient of the loss, in place."""
    return [g.add_(p, alpha=l2) for g, p in zip(gradient, parameters, strict=True)]


def inner_product(u: Parameters, v: Parameters) -> float:
    """uᵀv in the dtype of the vectors, cheaper than `inner_products`."""
    terms = [torch.dot(a.reshape(-1), b.reshape(-1)) for a, b in zip(u, v, strict=True)]
    return float(torch.stack(terms).sum(dtype=torch.float64))


def inner_products(vectors: Sequence[Parameters]) -> Tensor:
    """uᵀv for all pairs of D vectors: (D, D), float64, on the CPU."""
    total = torch.zeros(len(vectors), len(vectors), dtype=torch.float64)
    for layers in zip(*vectors, strict=True):
        flat = torch.stack([layer.reshape(-1) for layer in layers]).to(torch.float64)
        total += (flat @ flat.T).cpu()
    return total


def linear_combination(coefficients: Sequence[float], vectors: Sequence[Parameters]) -> Parameters:
    """Σ c_k v_k, shaped like the parameters."""
    total = [layer * coefficients[0] for layer in vectors[0]]
    for coefficient, vector in zip(coefficients[1:], vectors[1:], strict=True):
        total = [t.add_(layer, alpha=coefficient) for t, layer in zip(total, vector, strict=True)]
    return total


def all_finite(*groups: Iterable[Tensor]) -> bool:
    """Whether every entry of every tensor is finite."""
    return all(bool(torch.isfinite(tensor).all()) for group in groups for tensor in group)
