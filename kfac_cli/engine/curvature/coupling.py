"""What the block-tridiagonal inverse adds to the block-diagonal one for two neighbouring layers.

F̂⁻¹ = Ξᵀ Λ Ξ (section 4.3) is the inverse covariance of a chain, so that, multiplied out, it is

    F̂⁻¹ = F̆⁻¹ + Σ_i K_i,

where K_i acts on the layers i and i+1 alone: the inverse of their 2 × 2 blocks of F̂, minus F̆⁻¹ of
both. With roots R of the inverses of the diagonal factors, and T = T₁⊗T₂ where T₁ is
R_iᵀ Ā_{i-1,i} R_{i+1} and T₂ the same for G, these blocks are diag(R)⁻ᵀ [I, T; Tᵀ, I] diag(R)⁻¹ and

    K_i = diag(R) [D T Tᵀ, -D T; -Tᵀ D, Tᵀ D T] diag(R)ᵀ,   D = (I - T Tᵀ)⁻¹.

As Σ_{i|i+1} = R_i⁻ᵀ (I - T Tᵀ) R_i⁻¹, computing D is what appendix B is for. This form takes fewer
products with a vector than Ξ, Λ and Ξᵀ one after the other, since Ψ has none of its own.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from kfac_cli.engine.curvature.factorization import Factorization
from kfac_cli.engine.curvature.parallel import side_by_side
from kfac_cli.engine.curvature.sandwich import sandwich
from kfac_cli.engine.products import BLAS, Products
from kfac_cli.engine.state_rules import Rules, tensor

DECOMPOSITION_COST = 8.0
"""An eigendecomposition in float32 beside an inverse by Cholesky factorisation in float64."""


class Root(Protocol):
    """A root R of M⁻¹ = R Rᵀ for a symmetric positive definite M (d, d)."""

    def root(self, matrix: Tensor) -> Tensor:
        """R X for X (d, n), in the dtype of X."""


@dataclass(frozen=True)
class Whitened:
    """T = R_iᵀ N R_{i+1} (n, n') for N = Ā_{i-1,i} or G_{i,i+1}, and its two roots; float64.

    Its singular values are the canonical correlations of the two layers' units. They are below 1 in
    exact arithmetic.
    """

    matrix: Tensor
    here: Root
    above: Root

    @classmethod
    def of(cls, between: Tensor, here: Factorization, above: Factorization) -> "Whitened":
        """T for N = `between`."""
        return cls(above.transposed_root(here.transposed_root(between).T).T, here, above)

    @property
    def is_tall(self) -> bool:
        """Whether Tᵀ T is the smaller of the two Gram matrices."""
        return self.matrix.shape[0] >= self.matrix.shape[1]


def whitened(
    between: Sequence[Tensor], factorizations: Sequence[tuple[Factorization, Factorization]]
) -> list[Whitened]:
    """T for some pairs of neighbours, from N (n, n') and the factorisations of both layers."""
    return side_by_side(
        lambda each: Whitened.of(each[0], *each[1]),
        list(zip(between, factorizations, strict=True)),
        lambda each: each[0],
    )


def coupling_cost(rows: int, columns: int) -> float:
    """The cost of the part of a coupling that N (n, n') decides, beside that of an inverse, n³.

    As measured on a CPU: what is done to N and the roots, and the decomposition of a Gram matrix.
    """
    rank = min(rows, columns)
    return rows * columns * (rows + columns) + DECOMPOSITION_COST * rank**3


class Coupling(Protocol):
    """K_i in the dtype of the parameters.

    `a_here` and `a_above` are R_i T₁ and R_{i+1} if T₁ is tall, else R_i and R_{i+1} T₁ᵀ, up to the
    same rotation of their columns; H₁ is T₁ᵀ T₁ or T₁ T₁ᵀ, whichever is smaller, in the rotated
    coordinates. `g_here`, `g_above` and H₂ are the same for T₂. In these coordinates D is
    (I - H₁⊗H₂)⁻¹. No T appears, only H on either side.
    """

    a_here: Tensor
    a_above: Tensor
    g_here: Tensor
    g_above: Tensor

    def add_product_(
        self,
        here: Tensor,
        above: Tensor,
        sum_here: Tensor,
        sum_above: Tensor,
        products: Products = BLAS,
    ) -> None:
        """Add K_i's product with V_i = `here` and V_{i+1} = `above` to two sums, in place."""
        x = sandwich(self.g_here.T, here, self.a_here, products)
        y = sandwich(self.g_above.T, above, self.a_above, products)
        m = self._solve(self._times_core(x, products, tall=False) - y, products)
        n = self._times_core(m, products, tall=True) + x
        sum_here.add_(sandwich(self.g_here, m, self.a_here.T, products))
        sum_above.sub_(sandwich(self.g_above, n, self.a_above.T, products))

    def _times_core(self, matrix: Tensor, products: Products, *, tall: bool) -> Tensor:
        """The product with H₁, H₂, both or none: those whose T is tall, or is not."""
        if (self.a_here.shape[0] >= self.a_above.shape[0]) == tall:
            matrix = self._times_a_core(matrix, products)
        if (self.g_here.shape[0] >= self.g_above.shape[0]) == tall:
            matrix = self._times_g_core(matrix, products)
        return matrix

    @abstractmethod
    def _solve(self, matrix: Tensor, products: Products) -> Tensor:
        """(I - H₁⊗H₂)⁻¹ times a matrix."""

    @abstractmethod
    def _times_a_core(self, matrix: Tensor, products: Products) -> Tensor:
        """A matrix times H₁."""

    @abstractmethod
    def _times_g_core(self, matrix: Tensor, products: Products) -> Tensor:
        """H₂ times a matrix."""


def root_rules(weights: Tensor, above: Tensor) -> Rules:
    """What the saved roots may be for a layer's `weights` (p, q) and those of the layer `above`."""
    (p, q), (p_above, q_above), kind = weights.shape, above.shape, weights.dtype
    rank1, rank2 = coupling_ranks(weights, above)
    return {
        "a_here": tensor((q, rank1), kind),
        "a_above": tensor((q_above, rank1), kind),
        "g_here": tensor((p, rank2), kind),
        "g_above": tensor((p_above, rank2), kind),
    }


def coupling_ranks(weights: Tensor, above: Tensor) -> tuple[int, int]:
    """The dimensions of H₁ and H₂."""
    return min(weights.shape[1], above.shape[1]), min(weights.shape[0], above.shape[0])
