"""How much the gradient of a mini-batch varies with its cases (Byrd et al. 2012, section 3).

The gradient of one case is a matrix of rank one for each layer, DW_i = g_i ā_{i-1}ᵀ, so that its
length follows from what the pass for the mean gradient has computed in any case.
"""

import math

import torch
from torch import Tensor

from kfac_cli.engine.model.network import Activations
from kfac_cli.engine.parameters import Parameters


def sum_of_squared_lengths(activations: Activations, gradients: list[Tensor]) -> float:
    """Σ over the m cases of ‖DW_1‖² + … + ‖DW_ℓ‖², each term being ‖g_i‖² ‖ā_{i-1}‖².

    `gradients` are g_1 … g_ℓ, (m, d_i), as `Network.backward` returns them.
    """
    layers = zip(activations.homogeneous, gradients, strict=True)
    terms = [_squared_lengths(a) @ _squared_lengths(g) for a, g in layers]
    return float(torch.stack(terms).sum())


def total_variance(squared_lengths: float, mean: Parameters, cases: int) -> float:
    """The trace of the covariance of the cases' gradients, its unbiased estimate.

    `squared_lengths` is the sum of ‖gradient‖² over the cases, `mean` their mean gradient. Raises
    ValueError for fewer than two cases, which have no variance.
    """
    if cases < 2:
        raise ValueError(f"cases={cases}: a variance needs 2 or more")
    # Rounding could make the difference negative where all cases agree.
    return max(squared_lengths - cases * squared_length(mean), 0.0) / (cases - 1)


def noise_scale(variance: float, gradient: Parameters) -> float:
    """tr Var / ‖∇h‖²: the cases at which a mini-batch's error is as large as its gradient.

    `variance` is that of single cases, `gradient` ∇h with everything that belongs to it; infinite
    for a gradient of 0, unless nothing varies.
    """
    square = squared_length(gradient)
    if square == 0:
        return math.inf if variance > 0 else 0.0
    return variance / square


def squared_length(gradient: Parameters) -> float:
    """‖·‖² over all layers, accumulated in float64."""
    terms = [layer.square().sum(dtype=torch.float64) for layer in gradient]
    return float(torch.stack(terms).sum())


def _squared_lengths(rows: Tensor) -> Tensor:
    """‖·‖² of every row, (m,) float64."""
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=1)
    return lengths.to(torch.float64).square_()
