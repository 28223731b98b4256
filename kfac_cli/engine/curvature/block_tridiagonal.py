"""F̂⁻¹, the block-tridiagonal approximate inverse Fisher (section 4.3)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor

from kfac_cli.engine.curvature.block_diagonal import BlockDiagonalInverse
from kfac_cli.engine.curvature.coupling import whitened
from kfac_cli.engine.curvature.factored import FactoredCurvature
from kfac_cli.engine.curvature.factors import KroneckerFactors
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.protocol import Inverse, Needs
from kfac_cli.engine.curvature.sigma import COUPLINGS, SIGMA_SOLVERS
from kfac_cli.engine.curvature.tikhonov import UndampedFactors
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.products import BLAS, Products
from kfac_cli.engine.saved_state import attributes, restore
from kfac_cli.engine.state_rules import Rule, items, record, variant, word
from kfac_cli.errors import choose


class BlockTridiagonalInverse(Inverse):
    """F̂⁻¹ = Ξᵀ Λ Ξ with factored Tikhonov damping of strength γ.

    F̂ agrees with F̃, its diagonal factors damped, on the tridiagonal blocks; its inverse is block
    tridiagonal. `factors` must include the blocks of neighbouring layers. Kept as F̆⁻¹, `diagonal`,
    plus a coupling of each layer with the next, `couplings`; see `coupling.py`.

    `pi` is the name of one of `PI_RULES`, `sigma_solver` of one of `SIGMA_SOLVERS`; any other
    raises ValueError. `shared` is `UndampedFactors(factors, pi)`, if there is one already.
    """

    def __init__(
        self,
        factors: KroneckerFactors,
        gamma: float,
        *,
        pi: str = "trace",
        sigma_solver: str = "auto",
        fallbacks: Fallbacks | None = None,
        shared: UndampedFactors | None = None,
    ) -> None:
        solve = choose("sigma_solver", sigma_solver, SIGMA_SOLVERS)
        shared = shared or UndampedFactors(factors, pi)
        activation, gradient = shared.factorized(gamma, fallbacks)
        self.diagonal = BlockDiagonalInverse.of(activation, gradient, shared.dtype)
        pairs = zip(
            whitened(shared.activation_next, activation),
            whitened(shared.gradient_next, gradient),
            strict=True,
        )
        self.couplings = list(solve(list(pairs), shared.dtype, fallbacks))

    def multiply(self, vectors: Parameters, products: Products = BLAS) -> Parameters:
        """F̂⁻¹v for `vectors` shaped like the parameters."""
        result = self.diagonal.multiply(vectors, products)
        for coupling, here, above in zip(
            self.couplings, pairwise(vectors), pairwise(result), strict=True
        ):
            coupling.add_product_(*here, *above, products)
        return result

    def state_dict(self) -> dict[str, Any]:
        """The cached matrices as tensors."""
        return {
            **attributes(self),
            "diagonal": self.diagonal.state_dict(),
            "couplings": [attributes(each) for each in self.couplings],
        }

    @classmethod
    def state_rules(cls, parameters: Parameters) -> Rule:
        """What `state_dict` may return for `parameters` of these shapes."""
        return record(
            {
                "type": word(cls.__name__),
                "diagonal": BlockDiagonalInverse.state_rules(parameters),
                "couplings": items([_coupling_rules(*pair) for pair in pairwise(parameters)]),
            }
        )

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> "BlockTridiagonalInverse":
        """The inverse that `state_dict` describes, without recomputing it."""
        inverse = restore(state, cls)
        inverse.diagonal = BlockDiagonalInverse.from_state_dict(state["diagonal"])
        inverse.couplings = [restore(each, *COUPLINGS) for each in state["couplings"]]
        return inverse


def _coupling_rules(weights: Tensor, above: Tensor) -> Rule:
    """What the attributes of a coupling may be: doubling may have fallen back to decompositions."""
    return variant({each.__name__: each.state_rules(weights, above) for each in COUPLINGS})


class BlockTridiagonal(FactoredCurvature):
    """F̂, with factored Tikhonov damping."""

    needs = Needs(neighbours=True)

    def inverses(self, gammas: Sequence[float]) -> list[Inverse]:
        options, factors = self.options, self.known_factors
        shared = UndampedFactors(factors, options.pi)
        return [
            BlockTridiagonalInverse(
                factors,
                gamma,
                pi=options.pi,
                sigma_solver=options.sigma_solver,
                fallbacks=self.fallbacks,
                shared=shared,
            )
            for gamma in gammas
        ]

    def inverse_rules(self, parameters: Parameters) -> Rule:
        return BlockTridiagonalInverse.state_rules(parameters)

    def restore(self, state: dict[str, Any]) -> Inverse:
        return BlockTridiagonalInverse.from_state_dict(state)
