"""Factored Tikhonov damping and its π_i (section 6.3)."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from kfac_cli.engine.curvature.factorization import Factorization, factorized
from kfac_cli.engine.curvature.factors import KroneckerFactors
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.errors import choose


def mean_eigenvalue(matrix: Tensor) -> Tensor:
    """The average eigenvalue, for π_i of the trace norm (section 6.3); 0-dimensional, float64."""
    return matrix.diagonal().mean(dtype=torch.float64)


def root_mean_square_eigenvalue(matrix: Tensor) -> Tensor:
    """The same for π_i of the Frobenius norm.

    ‖Ā⊗I‖ / ‖I⊗G‖ = √dim G ‖Ā‖ / (√dim Ā ‖G‖), so each norm is divided by the root of the dimension
    of its own matrix.
    """
    norm: Tensor = torch.linalg.matrix_norm(matrix, dtype=torch.float64)
    return norm / math.sqrt(matrix.shape[0])


def largest_eigenvalue(matrix: Tensor) -> Tensor:
    """The same for π_i of the spectral norm; NaN if the matrix is not finite.

    The symmetric eigensolver is more expensive than power iteration, but needs no starting vector
    and no stopping criterion.
    """
    if not bool(torch.isfinite(matrix).all()):
        return matrix.new_full((), math.nan, dtype=torch.float64)
    eigenvalues: Tensor = torch.linalg.eigvalsh(symmetrized(matrix.to(torch.float64)))
    return eigenvalues[-1]


def one(matrix: Tensor) -> Tensor:
    """1, for π_i = 1, whatever the factors."""
    return matrix.new_ones((), dtype=torch.float64)


PI_RULES: dict[str, Callable[[Tensor], Tensor]] = {
    "trace": mean_eigenvalue,
    "frobenius": root_mean_square_eigenvalue,
    "spectral": largest_eigenvalue,
    "one": one,
}
"""The size of a factor: π_i is the root of the ratio of those of Ā and G."""


def balance(factors: KroneckerFactors, pi: str = "trace") -> list[Tensor]:
    """π_i of every layer, 0-dim float64 tensors; 1 where a factor is zero or not finite.

    `pi` is the name of one of `PI_RULES`; any other raises ValueError.
    """
    size = choose("pi", pi, PI_RULES)
    return [
        _root_ratio(size(a), size(g))
        for a, g in zip(factors.activation, factors.gradient, strict=True)
    ]


class UndampedFactors:
    """The factors in float64, and their π_i: what the inverses for several γ share.

    The diagonal blocks are symmetrised, since rounding makes running averages slightly asymmetric
    and factorisations read one triangle only. `dtype` is that of the given factors.
    """

    def __init__(self, factors: KroneckerFactors, pi: str = "trace") -> None:
        self.dtype = factors.activation[0].dtype
        self.pi = balance(factors, pi)
        self.activation = [symmetrized(a.to(torch.float64)) for a in factors.activation]
        self.gradient = [symmetrized(g.to(torch.float64)) for g in factors.gradient]
        self.activation_next = [a.to(torch.float64) for a in factors.activation_next]
        self.gradient_next = [g.to(torch.float64) for g in factors.gradient_next]

    def damped(self, gamma: float) -> tuple[list[Tensor], list[Tensor]]:
        """Ā_{i-1,i-1} + π_i γ I and G_{i,i} + γ/π_i I for each layer, as new tensors (eqn 7)."""
        layers = len(self.pi)
        every = [self._damped(number, gamma) for number in range(2 * layers)]
        return every[:layers], every[layers:]

    def factorized(
        self, gamma: float, numbers: Sequence[int], fallbacks: Fallbacks | None = None
    ) -> list[Factorization]:
        """The factorisations of some of the damped factors.

        The numbers count the Ā_{i-1,i-1} of all layers and then their G_{i,i}.
        """
        return factorized([self._damped(number, gamma) for number in numbers], fallbacks)

    @property
    def sizes(self) -> list[int]:
        """The numbers of rows of the Ā_{i-1,i-1} and of the G_{i,i}."""
        return [len(matrix) for matrix in (*self.activation, *self.gradient)]

    @property
    def device(self) -> torch.device:
        """The device of the factors."""
        return self.activation[0].device

    def _damped(self, number: int, gamma: float) -> Tensor:
        layers = len(self.pi)
        if number < layers:
            return _plus_identity(self.activation[number], gamma * self.pi[number])
        layer = number - layers
        return _plus_identity(self.gradient[layer], gamma / self.pi[layer])


def factored_tikhonov(
    factors: KroneckerFactors, gamma: float, pi: str = "trace"
) -> tuple[list[Tensor], list[Tensor]]:
    """Ā_{i-1,i-1} + π_i γ I and G_{i,i} + γ/π_i I for each layer, in float64 (eqn 7).

    `pi` is the name of one of `PI_RULES`; any other raises ValueError.
    """
    return UndampedFactors(factors, pi).damped(gamma)


def symmetrized(matrix: Tensor) -> Tensor:
    """(M + Mᵀ)/2, since factorisations and eigensolvers read one triangle only."""
    return (matrix + matrix.T).mul_(0.5)


def _root_ratio(activation_size: Tensor, gradient_size: Tensor) -> Tensor:
    pi = (activation_size / gradient_size).sqrt()
    usable = (activation_size > 0) & (gradient_size > 0) & (pi > 0) & pi.isfinite()
    return torch.where(usable, pi, 1.0)


def _plus_identity(matrix: Tensor, scale: Tensor) -> Tensor:
    damped = matrix.clone()
    damped.diagonal().add_(scale)
    return damped
