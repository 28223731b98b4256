"""F̆⁻¹, the block-diagonal approximate inverse Fisher (section 4.2)."""

from typing import Any

from kfac_cli.engine.damping import factored_tikhonov
from kfac_cli.engine.factors import KroneckerFactors
from kfac_cli.engine.kronecker import inverse_root
from kfac_cli.engine.network import Parameters


class BlockDiagonalInverse:
    """diag(Ā_{i-1,i-1} ⊗ G_{i,i})⁻¹ with factored Tikhonov damping of strength γ."""

    def __init__(self, factors: KroneckerFactors, gamma: float) -> None:
        dtype = factors.activation[0].dtype
        activation, gradient = factored_tikhonov(factors, gamma)
        self.activation_inverse = [(r @ r.T).to(dtype) for r in map(inverse_root, activation)]
        self.gradient_inverse = [(r @ r.T).to(dtype) for r in map(inverse_root, gradient)]

    def multiply(self, vectors: Parameters) -> Parameters:
        """U_i = G_{i,i}⁻¹ V_i Ā_{i-1,i-1}⁻¹, for `vectors` shaped like the parameters."""
        return [
            g @ v @ a
            for v, a, g in zip(vectors, self.activation_inverse, self.gradient_inverse, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """The cached inverses as tensors."""
        return dict(vars(self))

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> "BlockDiagonalInverse":
        """The inverse that `state_dict` describes, without computing it again."""
        inverse = cls.__new__(cls)
        vars(inverse).update(state)
        return inverse
