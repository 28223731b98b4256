"""F₀ = I: no curvature, so that the proposal is the gradient's (tried in section 13)."""

from collections.abc import Callable, Sequence
from typing import Any

from kfac_cli.engine.curvature.factors import KroneckerFactors
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.protocol import Curvature, Inverse, Needs
from kfac_cli.engine.options.kfac import KFACOptions
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.processes import Processes
from kfac_cli.engine.products import BLAS, Products
from kfac_cli.engine.saved_state import attributes, restore
from kfac_cli.engine.state_rules import Rule, record, word


class IdentityInverse(Inverse):
    """I, whatever γ is."""

    def multiply(self, vectors: Parameters, products: Products = BLAS) -> Parameters:
        return [v.clone() for v in vectors]

    def state_dict(self) -> dict[str, Any]:
        return attributes(self)


class Identity(Curvature):
    """F₀ = I and Δ = -∇h: SGD with the α and μ of sections 6.4 and 7.

    It needs no statistics. γ would only scale Δ, which α undoes, so it has no effect.
    """

    needs = Needs(statistics=False)

    def __init__(self, options: KFACOptions, fallbacks: Fallbacks | None = None) -> None:
        self.fallbacks = Fallbacks() if fallbacks is None else fallbacks

    def update(self, statistics: KroneckerFactors | None, iteration: int) -> None:
        pass

    def begun(
        self, gammas: Sequence[float], processes: Processes
    ) -> Callable[[Fallbacks], list[Inverse]]:
        return lambda fallbacks: [IdentityInverse() for _ in gammas]

    def restore(self, state: dict[str, Any]) -> Inverse:
        return restore(state, IdentityInverse)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def state_rules(self, parameters: Parameters) -> Rule:
        return record({})

    def inverse_rules(self, parameters: Parameters) -> Rule:
        return record({"type": word("IdentityInverse")})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
