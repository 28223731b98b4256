"""The inverse M⁻¹ = R Rᵀ of a damped factor, by Cholesky factorisation in float64.

At the small γ of late training the factors are so ill-conditioned that their inverses would have
few correct digits in float32.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.parallel import side_by_side


class Factorization(Protocol):
    """A root R of M⁻¹ = R Rᵀ for a symmetric positive definite M (d, d), and products with it.

    `factor` (d, d) is what they are computed from.
    """

    factor: Tensor

    def inverse(self) -> Tensor:
        """M⁻¹."""

    def root(self, matrix: Tensor) -> Tensor:
        """R X for X (d, n), in the dtype of X."""

    def transposed_root(self, matrix: Tensor) -> Tensor:
        """Rᵀ X for X (d, n), in the dtype of X."""


class CholeskyFactorization:
    """R = L⁻ᵀ for the Cholesky factor L of M = L Lᵀ; R itself is never formed."""

    def __init__(self, factor: Tensor) -> None:
        self.factor = factor

    def inverse(self) -> Tensor:
        return torch.cholesky_inverse(self.factor)

    def root(self, matrix: Tensor) -> Tensor:
        factor = self.factor.T.to(matrix.dtype)
        result: Tensor = torch.linalg.solve_triangular(factor, matrix, upper=True)
        return result

    def transposed_root(self, matrix: Tensor) -> Tensor:
        factor = self.factor.to(matrix.dtype)
        result: Tensor = torch.linalg.solve_triangular(factor, matrix, upper=False)
        return result


class KnownRoot:
    """R itself, (d, n): `factor`."""

    def __init__(self, root: Tensor) -> None:
        self.factor = root

    def inverse(self) -> Tensor:
        return self.factor @ self.factor.T

    def root(self, matrix: Tensor) -> Tensor:
        return self.factor.to(matrix.dtype) @ matrix

    def transposed_root(self, matrix: Tensor) -> Tensor:
        return self.factor.T.to(matrix.dtype) @ matrix


def clipped_root(matrix: Tensor, fallbacks: Fallbacks) -> KnownRoot:
    """R from the eigendecomposition of an M that rounding has made indefinite.

    The spectrum is clipped from below at d·eps times the largest eigenvalue, and the event counted.
    Raises ValueError if M is not finite.
    """
    values, vectors = torch.linalg.eigh(finite(matrix))
    largest = max(float(values[-1]), torch.finfo(matrix.dtype).tiny)
    smallest = matrix.shape[0] * torch.finfo(matrix.dtype).eps * largest
    fallbacks.record(
        "clipped_factors",
        "a %d x %d curvature factor is not positive definite (smallest eigenvalue %.3g): "
        "its spectrum is clipped at %.3g",
        *matrix.shape,
        float(values[0]),
        smallest,
    )
    return KnownRoot(vectors * values.clamp_min(smallest).rsqrt())


def factorized(
    matrices: Sequence[Tensor], fallbacks: Fallbacks | None = None
) -> list[Factorization]:
    """The factorisation of each symmetric matrix, of which the lower triangle is read.

    Those that are not positive definite are clipped and counted. One transfer from the device says
    for all of them which these are. Raises ValueError if a matrix is not finite.
    """
    if not matrices:
        return []
    made, failed = zip(*side_by_side(_cholesky, matrices, lambda matrix: matrix), strict=True)
    return [
        clipped_root(matrix, fallbacks or Fallbacks()) if failure else factorization
        for matrix, factorization, failure in zip(
            matrices, made, torch.stack(failed).tolist(), strict=True
        )
    ]


def _cholesky(matrix: Tensor) -> tuple[Factorization, Tensor]:
    """The factorisation, and a number that is not 0 if it failed.

    On a GPU, where products take a fraction of the time of triangular solves, with R itself.
    """
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if matrix.device.type == "cpu":
        return CholeskyFactorization(factor), failed
    identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    return KnownRoot(torch.linalg.solve_triangular(factor, identity, upper=False).T), failed


def finite(matrix: Tensor) -> Tensor:
    """The matrix itself; raises ValueError if it has an entry that is not finite."""
    if not bool(torch.isfinite(matrix).all()):
        raise ValueError("a curvature factor has entries that are not finite")
    return matrix
