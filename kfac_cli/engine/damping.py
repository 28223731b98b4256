"""The damping devices: factored Tikhonov (6.3), the rule for λ (6.5) and the search for γ (6.6)."""

import math

import torch
from torch import Tensor

from kfac_cli.engine.factors import KroneckerFactors


def trace_norm_pi(activation: Tensor, gradient: Tensor) -> float:
    """π_i, the square root of the ratio of the average eigenvalues of Ā and G (section 6.3).

    1 where the ratio says nothing: a factor that is zero or not finite.
    """
    mean_activation = float(activation.diagonal().mean(dtype=torch.float64))
    mean_gradient = float(gradient.diagonal().mean(dtype=torch.float64))
    if mean_activation <= 0 or mean_gradient <= 0:
        return 1.0
    pi = math.sqrt(mean_activation / mean_gradient)
    return pi if math.isfinite(pi) and pi > 0 else 1.0


def factored_tikhonov(factors: KroneckerFactors, gamma: float) -> tuple[list[Tensor], list[Tensor]]:
    """Ā_{i-1,i-1} + π_i γ I and G_{i,i} + γ/π_i I for each layer, in float64 (eqn 7)."""
    activation, gradient = [], []
    for a, g in zip(factors.activation, factors.gradient, strict=True):
        pi = trace_norm_pi(a, g)
        activation.append(_plus_identity(a, gamma * pi))
        gradient.append(_plus_identity(g, gamma / pi))
    return activation, gradient


def _plus_identity(matrix: Tensor, scale: float) -> Tensor:
    damped = matrix.to(torch.float64, copy=True)
    damped.diagonal().add_(scale)
    return damped


def levenberg_marquardt(damping: float, rho: float, omega: float) -> float:
    """The next λ (section 6.5).

    λ ω₁ where the reduction ratio ρ is above 3/4, λ/ω₁ where it is below 1/4 or not finite, which
    includes every increase of the objective.
    """
    if not math.isfinite(rho) or rho < 0.25:
        return damping / omega
    if rho > 0.75:
        # Full-batch runs shrink λ for thousands of iterations; it must not reach 0 for good.
        return max(damping * omega, math.ulp(0.0) / omega)
    return damping


def gamma_candidates(gamma: float, omega: float, smallest: float, largest: float) -> list[float]:
    """γ, ω₂γ and γ/ω₂ (section 6.6), without duplicates, the present value first.

    The smaller one is floored at `smallest` and the larger one capped at `largest`, as in the
    authors' companion code. A γ that starts above the cap may stay, so that the "larger" candidate
    is then the cap itself; `largest` may be infinite.
    """
    candidates = [gamma, max(omega * gamma, smallest), min(gamma / omega, largest)]
    return list(dict.fromkeys(candidates))
