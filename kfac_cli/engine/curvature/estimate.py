"""The approximate Fisher over the iterations: running averages and a cached inverse."""

from typing import Any

from kfac_cli.engine.curvature.factors import KroneckerFactors, running_average_weight
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.registry import Inverse, inverse_from_state_dict, make_inverse
from kfac_cli.engine.damping import gamma_candidates
from kfac_cli.engine.options import KFACOptions


class Curvature:
    """The running averages of Ā and G (section 5) and the inverse made from them (section 4).

    `factors` is None before the first update; `inverse` is that of the last chosen γ.
    """

    def __init__(self, options: KFACOptions, fallbacks: Fallbacks | None = None) -> None:
        self.options = options
        self.factors: KroneckerFactors | None = None
        self.inverse: Inverse | None = None
        self.fallbacks = Fallbacks() if fallbacks is None else fallbacks

    def update(self, statistics: KroneckerFactors, iteration: int) -> None:
        """Include the statistics of iteration k = 1, 2, … in the running averages."""
        if self.factors is None:
            self.factors = statistics
            return
        epsilon = running_average_weight(iteration, self.options.epsilon_max)
        self.factors.average_(statistics, epsilon)

    def candidates(self, iteration: int, gamma: float) -> list[tuple[float, Inverse]]:
        """The candidates for γ at an iteration (algorithm 2, the set Γ), each with its inverse.

        The inverse is refreshed at k ≤ 3 and every T₃ iterations (section 8).
        """
        options = self.options
        if options.gamma_rule == "search" and iteration % options.t2 == 0:
            gammas = gamma_candidates(
                gamma,
                options.gamma_factor,
                options.gamma_floor,
                options.gamma_cap,
            )
            return [(candidate, self.make_inverse(candidate)) for candidate in gammas]
        if self.inverse is None or iteration <= 3 or iteration % options.t3 == 0:
            return [(gamma, self.make_inverse(gamma))]
        return [(gamma, self.inverse)]

    def make_inverse(self, gamma: float) -> Inverse:
        """The inverse of the current factors, damped with γ."""
        assert self.factors is not None
        return make_inverse(self.factors, gamma, self.options, self.fallbacks)

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to resume exactly."""
        factors, inverse = self.factors, self.inverse
        return {
            "factors": None if factors is None else factors.state_dict(),
            "inverse": None if inverse is None else inverse.state_dict(),
            "fallbacks": dict(vars(self.fallbacks)),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned."""
        factors, inverse = state["factors"], state["inverse"]
        self.factors = None if factors is None else KroneckerFactors.from_state_dict(factors)
        self.inverse = None if inverse is None else inverse_from_state_dict(inverse)
        self.fallbacks = Fallbacks(**state["fallbacks"])
