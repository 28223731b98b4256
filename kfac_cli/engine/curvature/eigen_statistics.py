"""Second moments of the cases' gradients along given eigenvectors: the statistics of EKFAC.

George et al. (2018), "Fast Approximate Natural Gradient Descent in a Kronecker-factored
Eigenbasis", arXiv:1806.03884, section 3.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import Tensor

from kfac_cli.engine.curvature.factors import KroneckerFactors
from kfac_cli.engine.products import BLAS, Products


@dataclass(frozen=True)
class Bases:
    """An orthonormal basis of every layer's ā and g, its vectors as columns.

    `activation[i]` is U_A (d_i+1, d_i+1) and `gradient[i]` is U_G (d_{i+1}, d_{i+1}), i = 0…ℓ-1.
    """

    activation: list[Tensor]
    gradient: list[Tensor]


@dataclass(frozen=True)
class ScaledFactors(KroneckerFactors):
    """Ā and G, and what the same cases say about the `scalings` in some bases.

    `scalings[i]` is E[(U_Gᵀ g āᵀ U_A)²], squared element by element, (d_{i+1}, d_i+1): the second
    moments of the cases' gradients along u_G u_Aᵀ. Of all D, diag(D) is the one for which
    (U_A⊗U_G) diag(D) (U_A⊗U_G)ᵀ is nearest to the layer's block E[vec(gāᵀ) vec(gāᵀ)ᵀ] in the
    Frobenius norm.
    """

    scalings: list[Tensor] = field(default_factory=list)

    def tensors(self) -> Iterator[Tensor]:
        """Every matrix, in a fixed order."""
        yield from super().tensors()
        yield from self.scalings


class ScalingSums:
    """Σ (U_Gᵀ g āᵀ U_A)² over the cases of one forward pass and their backward passes.

    `homogeneous[i]` is ā_i (m, d_i+1). Uses (U_Gᵀ g āᵀ U_A)² = (U_Gᵀg)² ((U_Aᵀā)²)ᵀ, so that the
    sum over the cases is one product of matrices.
    """

    def __init__(self, bases: Bases, homogeneous: list[Tensor], products: Products = BLAS) -> None:
        self._bases, self._products = bases, products
        self._activation = self._squares(homogeneous, bases.activation)
        self._sums = [
            a.new_zeros(u.shape[0], a.shape[1])
            for u, a in zip(bases.gradient, self._activation, strict=True)
        ]

    def add_(self, gradients: list[Tensor]) -> None:
        """Add a backward pass; `gradients[i]` is g_{i+1} (m, d_{i+1})."""
        squares = self._squares(gradients, self._bases.gradient)
        for total, g, a in zip(self._sums, squares, self._activation, strict=True):
            self._products.add(g.T, a, out=total)

    def beside(self, factors: KroneckerFactors, scale: float) -> ScaledFactors:
        """The sums of Ā and G, and these sums times `scale`."""
        for total in self._sums:
            total.mul_(scale)
        return ScaledFactors(**vars(factors), scalings=self._sums)

    def _squares(self, rows: list[Tensor], bases: list[Tensor]) -> list[Tensor]:
        """The squares of the coordinates of each row."""
        return [self._products.multiply(r, u).square_() for r, u in zip(rows, bases, strict=True)]
