"""F̂⁻¹, the block-tridiagonal approximate inverse Fisher (section 4.3)."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from kfac_cli.engine.curvature.factored import FactoredCurvature
from kfac_cli.engine.curvature.factors import KroneckerFactors, neighbour_rules
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.kronecker import KroneckerSumInverse, inverse_root
from kfac_cli.engine.curvature.protocol import Inverse, Needs
from kfac_cli.engine.curvature.stein import DoublingInverse, stein_inverse
from kfac_cli.engine.curvature.tikhonov import factored_tikhonov
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.saved_state import attributes, restore
from kfac_cli.engine.state_rules import Rule, items, record, square, variant, word
from kfac_cli.errors import choose

SigmaInverse = KroneckerSumInverse | DoublingInverse

SIGMA_SOLVERS: dict[str, Callable[..., SigmaInverse]] = {
    "decomposition": KroneckerSumInverse,
    "doubling": stein_inverse,
}
"""How Σ_{i|i+1} is inverted (appendix B)."""


class BlockTridiagonalInverse(Inverse):
    """F̂⁻¹ = Ξᵀ Λ Ξ with factored Tikhonov damping of strength γ.

    F̂ agrees with F̃, its diagonal factors damped, on the tridiagonal blocks; its inverse is block
    tridiagonal. `factors` must include the blocks of neighbouring layers.

    In the text's 1-based layers, `psi_activation[i-1]` is Ψ^Ā_{i-1,i} = Ā_{i-1,i} Ā_{i,i}⁻¹ and
    `psi_gradient[i-1]` is Ψ^G_{i,i+1} = G_{i,i+1} G_{i+1,i+1}⁻¹; `conditional[i-1]` is
    Σ_{i|i+1}⁻¹, i = 1…ℓ-1, and the last layer has Σ_ℓ = Ā_{ℓ-1,ℓ-1} ⊗ G_{ℓ,ℓ}.

    `pi` is the name of one of `PI_RULES`, `sigma_solver` of one of `SIGMA_SOLVERS`; any other
    raises ValueError.
    """

    def __init__(
        self,
        factors: KroneckerFactors,
        gamma: float,
        *,
        pi: str = "trace",
        sigma_solver: str = "decomposition",
        fallbacks: Fallbacks | None = None,
    ) -> None:
        dtype = factors.activation[0].dtype
        activation, gradient = factored_tikhonov(factors, gamma, pi)
        a_roots = [inverse_root(a, fallbacks) for a in activation]
        g_roots = [inverse_root(g, fallbacks) for g in gradient]
        sigma_inverse = choose("sigma_solver", sigma_solver, SIGMA_SOLVERS)
        self.psi_activation: list[Tensor] = []
        self.psi_gradient: list[Tensor] = []
        self.conditional: list[SigmaInverse] = []
        for i, (a_next, g_next) in enumerate(
            zip(factors.activation_next, factors.gradient_next, strict=True)
        ):
            # Σ_{i|i+1} = Ā⊗G - C⊗D with C = Ψ^Ā Ā_{i,i} Ψ^Āᵀ = X Xᵀ, X = Ā_{i-1,i} R; same for G.
            c_root = a_next.to(torch.float64) @ a_roots[i + 1]
            d_root = g_next.to(torch.float64) @ g_roots[i + 1]
            self.psi_activation.append((c_root @ a_roots[i + 1].T).to(dtype))
            self.psi_gradient.append((d_root @ g_roots[i + 1].T).to(dtype))
            self.conditional.append(
                sigma_inverse(a_roots[i], g_roots[i], c_root, d_root, -1, dtype, fallbacks)
            )
        self.last_activation_inverse = (a_roots[-1] @ a_roots[-1].T).to(dtype)
        self.last_gradient_inverse = (g_roots[-1] @ g_roots[-1].T).to(dtype)

    def multiply(self, vectors: Parameters) -> Parameters:
        """F̂⁻¹v for `vectors` shaped like the parameters: Ξ, then Λ, then Ξᵀ."""
        residuals = [
            v - psi_g @ above @ psi_a.T
            for v, above, psi_a, psi_g in zip(
                vectors[:-1], vectors[1:], self.psi_activation, self.psi_gradient, strict=True
            )
        ]
        scaled = [s.multiply(v) for s, v in zip(self.conditional, residuals, strict=True)]
        scaled.append(self.last_gradient_inverse @ vectors[-1] @ self.last_activation_inverse)
        return scaled[:1] + [
            v - psi_g.T @ below @ psi_a
            for v, below, psi_a, psi_g in zip(
                scaled[1:], scaled[:-1], self.psi_activation, self.psi_gradient, strict=True
            )
        ]

    def state_dict(self) -> dict[str, Any]:
        """The cached matrices as tensors."""
        return {**attributes(self), "conditional": [attributes(s) for s in self.conditional]}

    @classmethod
    def state_rules(cls, parameters: Parameters) -> Rule:
        """What `state_dict` may return for `parameters` of these shapes."""
        psi_activation, psi_gradient = neighbour_rules(parameters)
        last = parameters[-1]
        return record(
            {
                "type": word(cls.__name__),
                "psi_activation": psi_activation,
                "psi_gradient": psi_gradient,
                "conditional": items([_sigma_rules(*pair) for pair in pairwise(parameters)]),
                "last_activation_inverse": square(last.shape[1], last.dtype),
                "last_gradient_inverse": square(last.shape[0], last.dtype),
            }
        )

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> "BlockTridiagonalInverse":
        """The inverse that `state_dict` describes, without recomputing it."""
        inverse = restore(state, cls)
        solvers: tuple[type[SigmaInverse], ...] = (KroneckerSumInverse, DoublingInverse)
        inverse.conditional = [restore(s, *solvers) for s in state["conditional"]]
        return inverse


def _sigma_rules(weights: Tensor, above: Tensor) -> Rule:
    """What the attributes of a Σ⁻¹ may be: doubling may have fallen back to decompositions."""
    solvers: tuple[type[SigmaInverse], ...] = (KroneckerSumInverse, DoublingInverse)
    return variant({each.__name__: each.state_rules(weights, above) for each in solvers})


class BlockTridiagonal(FactoredCurvature):
    """F̂, with factored Tikhonov damping."""

    needs = Needs(neighbours=True)

    def inverses(self, gammas: Sequence[float]) -> list[Inverse]:
        options = self.options
        return [
            BlockTridiagonalInverse(
                self.known_factors,
                gamma,
                pi=options.pi,
                sigma_solver=options.sigma_solver,
                fallbacks=self.fallbacks,
            )
            for gamma in gammas
        ]

    def inverse_rules(self, parameters: Parameters) -> Rule:
        return BlockTridiagonalInverse.state_rules(parameters)

    def restore(self, state: dict[str, Any]) -> Inverse:
        return BlockTridiagonalInverse.from_state_dict(state)
