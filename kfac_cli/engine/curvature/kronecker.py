"""The inverse of ξ I⊗I + C⊗D by eigendecompositions (appendix B), for eqn 6."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kfac_cli.engine.curvature.eigenbasis import Eigenbasis
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.sandwich import sandwich
from kfac_cli.engine.products import BLAS, Products
from kfac_cli.engine.state_rules import Rule, entries, record, tensor, word


class DiagonalizedInverse:
    """(ξ I⊗I + C⊗D)⁻¹ for positive semi-definite C, D: the appendix's case of a multiple of I.

    With C = K₁ diag(s₁) K₁ᵀ and D = K₂ diag(s₂) K₂ᵀ it is (K₁⊗K₂) diag(1 / (ξ + s₁s₂)) (K₁⊗K₂)ᵀ.
    K₁ and K₂ are orthogonal, so ill-conditioned C and D cost no accuracy. Eigenvalues ξ + s₁s₂ are
    clipped, and the event counted, at (dim C + dim D)·eps times the largest of ξ and s₁s₂.

    `c` and `d` are the eigendecompositions; products are in `dtype`.
    """

    def __init__(
        self,
        xi: float,
        c: Eigenbasis,
        d: Eigenbasis,
        dtype: torch.dtype,
        fallbacks: Fallbacks | None = None,
    ) -> None:
        products = torch.outer(d.values, c.values)
        eigenvalues = xi + products
        limit = clipping_limit(products.max().clamp_min(xi), eigenvalues.shape)
        smallest = float(eigenvalues.min())
        if smallest < float(limit):
            (fallbacks or Fallbacks()).record(
                "clipped_sums",
                "a sum of Kronecker products is singular: its smallest eigenvalue %.3g "
                "is clipped at %.3g",
                smallest,
                float(limit),
            )
        self.k1: Tensor = c.vectors.to(dtype)
        self.k2: Tensor = d.vectors.to(dtype)
        self.weights = clipped_reciprocals(eigenvalues, limit, dtype)

    def multiply(self, matrix: Tensor, products: Products = BLAS) -> Tensor:
        """The product with vec(V), V (dim D, dim C), as a matrix of V's shape."""
        return weighted(self.weights, self.k1, self.k2, matrix, products)

    @staticmethod
    def state_rules(weights: Tensor) -> Rule:
        """What the `attributes` may be for a layer with `weights` (p, q)."""
        (p, q), kind = weights.shape, weights.dtype
        return record(
            {
                "type": word("DiagonalizedInverse"),
                "k1": tensor((q, q), kind),
                "k2": tensor((p, p), kind),
                "weights": tensor((p, q), kind, nonnegative=entries),
            }
        )


def clipping_limit(largest: Tensor, shape: Sequence[int]) -> Tensor:
    """Below what the eigenvalues of a sum of Kronecker products are rounding errors.

    It is (dim C + dim D)·eps times their largest; `shape` is (dim D, dim C).
    """
    limits = torch.finfo(largest.dtype)
    return (largest * sum(shape) * limits.eps).clamp_min(limits.tiny)


def clipped_reciprocals(eigenvalues: Tensor, limit: Tensor, dtype: torch.dtype) -> Tensor:
    """The reciprocals of the eigenvalues, clipped at the limit, in place of them."""
    return eigenvalues.clamp_min_(limit).reciprocal_().to(dtype)


def weighted(
    weights: Tensor, k1: Tensor, k2: Tensor, matrix: Tensor, products: Products = BLAS
) -> Tensor:
    """(K₁⊗K₂) diag(w) (K₁⊗K₂)ᵀ vec(V), as a matrix of V's shape, which is that of `weights` too."""
    middle = sandwich(k2.T, matrix, k1, products).mul_(weights)
    return sandwich(k2, middle, k1.T, products)
