"""The variance of the gradients of single cases (Byrd et al. 2012, section 3).

The gradient of one case is a matrix of rank one for each layer, DW_i = g_i ā_{i-1}ᵀ, so its norm
follows from what the passes for the mean gradient compute anyway.
"""

import math

import torch
from torch import Tensor

from kfac_cli.engine.model.network import Activations
from kfac_cli.engine.parameters import Parameters, squared_norm


def sum_of_squared_norms(activations: Activations, gradients: list[Tensor]) -> Tensor:
    """Σ over the m cases of ‖DW_1‖² + … + ‖DW_ℓ‖², each term being ‖g_i‖² ‖ā_{i-1}‖².

    `gradients` are g_1 … g_ℓ, (m, d_i), as `Network.backward` returns them.
    """
    layers = zip(activations.homogeneous, gradients, strict=True)
    terms = [_squared_row_norms(a) @ _squared_row_norms(g) for a, g in layers]
    return torch.stack(terms).sum()


def total_variance(squared_norms: Tensor, mean: Parameters, cases: int) -> Tensor:
    """The unbiased estimate of the trace of the covariance of the cases' gradients.

    `squared_norms` is the sum of ‖gradient‖² over the cases, `mean` their mean gradient. Raises
    ValueError for fewer than two cases.
    """
    if cases < 2:
        raise ValueError(f"cases={cases}: a variance needs 2 or more")
    # Rounding could make the difference negative where all cases have the same gradient.
    return (squared_norms - cases * squared_norm(mean)).clamp_min(0) / (cases - 1)


def noise_scale(variance: float, square: float) -> float:
    """The mini-batch size tr Var / ‖∇h‖² at which the gradient's error is as large as ‖∇h‖.

    `variance` is tr Var of the gradients of single cases, `square` is ‖∇h‖², ℓ₂ included. For a
    gradient of 0 it is infinite, or 0 if the variance is 0 too.
    """
    if square == 0:
        return math.inf if variance > 0 else 0.0
    return variance / square


def _squared_row_norms(rows: Tensor) -> Tensor:
    """‖·‖² of every row, (m,) float64."""
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1)
    return norms.to(torch.float64).square_()
