"""F̆⁻¹ with exact Tikhonov damping (section 6.3, eqn 6)."""

from typing import Any

from kfac_cli.engine.curvature.factors import KroneckerFactors
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.kronecker import DiagonalizedInverse
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.saved_state import attributes, restored


class ExactTikhonovInverse:
    """diag(Ā_{i-1,i-1} ⊗ G_{i,i} + γ² I)⁻¹, γ² in the role of λ + η.

    Beside `BlockDiagonalInverse` it leaves out the cross terms of factored damping, and takes
    eigendecompositions and twice as many products. Its spectrum, unlike that of a Kronecker
    product, acts entry by entry, so that section 8's shortcut does not apply.
    """

    def __init__(
        self, factors: KroneckerFactors, gamma: float, *, fallbacks: Fallbacks | None = None
    ) -> None:
        self.layers = [
            DiagonalizedInverse.of_shifted_product(gamma**2, a, g, 1, fallbacks)
            for a, g in zip(factors.activation, factors.gradient, strict=True)
        ]

    def multiply(self, vectors: Parameters) -> Parameters:
        """The product with `vectors`, shaped like the parameters."""
        return [layer.multiply(v) for layer, v in zip(self.layers, vectors, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """The cached matrices as tensors."""
        return {**attributes(self), "layers": [attributes(layer) for layer in self.layers]}

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> "ExactTikhonovInverse":
        """The inverse that `state_dict` describes, without computing it again."""
        inverse = restored(state, cls)
        inverse.layers = [restored(layer, DiagonalizedInverse) for layer in state["layers"]]
        return inverse
