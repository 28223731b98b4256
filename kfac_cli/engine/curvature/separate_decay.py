"""F̆⁻¹∇h from few cases with ℓ₂: the part of ηθ on its own, from the last refresh (section 8)."""

from typing import Any

from kfac_cli.engine.curvature.block_diagonal import BlockDiagonalInverse, low_rank_is_cheaper
from kfac_cli.engine.curvature.factors import CaseFactors
from kfac_cli.engine.curvature.protocol import Inverse
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.products import BLAS, Products
from kfac_cli.engine.saved_state import attributes, restore
from kfac_cli.engine.state_rules import Rule, like, number, optional, record, word


class SeparateDecayInverse(Inverse):
    """F̆⁻¹, whose product with ∇h is a low-rank product plus ηF̆⁻¹θ of an earlier θ.

    `weight_decay` is ηF̆⁻¹θ at the refresh, None before `at`, in which case the product is exact. It
    is exact as well for layers where the low-rank product would not save multiplications.
    """

    def __init__(
        self, inverse: BlockDiagonalInverse, l2: float, weight_decay: Parameters | None = None
    ) -> None:
        self.inverse = inverse
        self.l2 = l2
        self.weight_decay = weight_decay

    def at(self, parameters: Parameters, products: Products = BLAS) -> "SeparateDecayInverse":
        decay = [layer.mul_(self.l2) for layer in self.inverse.multiply(parameters, products)]
        return SeparateDecayInverse(self.inverse, self.l2, decay)

    def multiply(self, vectors: Parameters, products: Products = BLAS) -> Parameters:
        return self.inverse.multiply(vectors, products)

    def multiply_gradient(
        self, gradient: Parameters, cases: CaseFactors | None, products: Products = BLAS
    ) -> Parameters:
        if cases is None or self.weight_decay is None:
            return self.inverse.multiply(gradient, products)
        results = self.inverse.multiply_gradient(gradient, cases, products)
        for product, decay, g in zip(results, self.weight_decay, cases.gradients, strict=True):
            if low_rank_is_cheaper(g.shape[0], *product.shape):
                product.add_(decay)
        return results

    def state_dict(self) -> dict[str, Any]:
        return {**attributes(self), "inverse": self.inverse.state_dict()}

    @classmethod
    def state_rules(cls, parameters: Parameters) -> Rule:
        """What `state_dict` may return for `parameters` of these shapes."""
        return record(
            {
                "type": word(cls.__name__),
                "inverse": BlockDiagonalInverse.state_rules(parameters),
                "l2": number(),
                "weight_decay": optional(like(parameters)),
            }
        )

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> "SeparateDecayInverse":
        """The inverse that `state_dict` describes, without recomputing it."""
        inverse = restore(state, cls)
        inverse.inverse = BlockDiagonalInverse.from_state_dict(state["inverse"])
        return inverse
