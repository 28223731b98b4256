"""Factored Tikhonov damping and its π_i (section 6.3)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from kfac_cli.engine.curvature.factors import KroneckerFactors
from kfac_cli.errors import choose


def trace_norm_pi(activation: Tensor, gradient: Tensor) -> float:
    """π_i, the square root of the ratio of the average eigenvalues of Ā and G (section 6.3).

    1 if a factor is zero or not finite.
    """
    return _pi(
        float(activation.diagonal().mean(dtype=torch.float64)),
        float(gradient.diagonal().mean(dtype=torch.float64)),
    )


def frobenius_norm_pi(activation: Tensor, gradient: Tensor) -> float:
    """π_i of the Frobenius norm: the same ratio of root mean square eigenvalues.

    ‖Ā⊗I‖ / ‖I⊗G‖ = √dim G ‖Ā‖ / (√dim Ā ‖G‖), so each norm is divided by the root of the dimension
    of its own matrix.
    """
    return _pi(_root_mean_square_eigenvalue(activation), _root_mean_square_eigenvalue(gradient))


def spectral_norm_pi(activation: Tensor, gradient: Tensor) -> float:
    """π_i of the spectral norm: the same ratio of largest eigenvalues.

    The symmetric eigensolver is more expensive than power iteration, but needs no starting vector
    and no stopping criterion.
    """
    return _pi(_largest_eigenvalue(activation), _largest_eigenvalue(gradient))


def unit_pi(activation: Tensor, gradient: Tensor) -> float:
    """π_i = 1, whatever the factors."""
    return 1.0


PI_RULES: dict[str, Callable[[Tensor, Tensor], float]] = {
    "trace": trace_norm_pi,
    "frobenius": frobenius_norm_pi,
    "spectral": spectral_norm_pi,
    "one": unit_pi,
}


def factored_tikhonov(
    factors: KroneckerFactors, gamma: float, pi: str = "trace"
) -> tuple[list[Tensor], list[Tensor]]:
    """Ā_{i-1,i-1} + π_i γ I and G_{i,i} + γ/π_i I for each layer, in float64 (eqn 7).

    `pi` is the name of one of `PI_RULES`; any other raises ValueError.
    """
    rule = choose("pi", pi, PI_RULES)
    activation, gradient = [], []
    for a, g in zip(factors.activation, factors.gradient, strict=True):
        pi_i = rule(a, g)
        activation.append(_plus_identity(a, gamma * pi_i))
        gradient.append(_plus_identity(g, gamma / pi_i))
    return activation, gradient


def _pi(activation_size: float, gradient_size: float) -> float:
    if not (activation_size > 0 and gradient_size > 0):
        return 1.0
    pi = math.sqrt(activation_size / gradient_size)
    return pi if math.isfinite(pi) and pi > 0 else 1.0


def _root_mean_square_eigenvalue(matrix: Tensor) -> float:
    norm = float(torch.linalg.matrix_norm(matrix, dtype=torch.float64))
    return norm / math.sqrt(matrix.shape[0])


def _largest_eigenvalue(matrix: Tensor) -> float:
    if not bool(torch.isfinite(matrix).all()):
        return math.nan
    symmetric = (matrix + matrix.T).to(torch.float64) / 2
    return float(torch.linalg.eigvalsh(symmetric)[-1])


def _plus_identity(matrix: Tensor, scale: float) -> Tensor:
    damped = matrix.to(torch.float64, copy=True)
    damped.diagonal().add_(scale)
    return damped
