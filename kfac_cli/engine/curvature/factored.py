"""What the curvatures that are made from Ā and G have in common: their running averages."""

from dataclasses import fields
from typing import Any

from kfac_cli.engine.curvature.factors import KroneckerFactors, running_average_weight
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.protocol import Curvature
from kfac_cli.engine.options.kfac import KFACOptions
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.state_rules import Rule, count, optional, record


class FactoredCurvature(Curvature):
    """The running averages of Ā and G (section 5); a subclass makes inverses from them.

    `factors` is None before the first update.
    """

    def __init__(self, options: KFACOptions, fallbacks: Fallbacks | None = None) -> None:
        self.options = options
        self.factors: KroneckerFactors | None = None
        self.fallbacks = Fallbacks() if fallbacks is None else fallbacks

    def update(self, statistics: KroneckerFactors | None, iteration: int) -> None:
        assert statistics is not None
        if self.factors is None:
            self.factors = statistics
            return
        epsilon = running_average_weight(iteration, self.options.epsilon_max)
        self.factors = self.factors.averaged(statistics, epsilon)

    @property
    def known_factors(self) -> KroneckerFactors:
        """The factors after the first update."""
        assert self.factors is not None
        return self.factors

    def state_dict(self) -> dict[str, Any]:
        factors = self.factors
        return {
            "factors": None if factors is None else factors.state_dict(),
            "fallbacks": dict(vars(self.fallbacks)),
        }

    def state_rules(self, parameters: Parameters) -> Rule:
        return record(self._rules(parameters))

    def _rules(self, parameters: Parameters) -> dict[str, Rule]:
        """The rules for the values that `state_dict` returns here, by their names."""
        factors = KroneckerFactors.state_rules(parameters, self.needs.neighbours)
        fallbacks = record({field.name: count() for field in fields(Fallbacks)})
        return {"factors": optional(factors), "fallbacks": fallbacks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        factors = state["factors"]
        self.factors = None if factors is None else KroneckerFactors.from_state_dict(factors)
        self.fallbacks = Fallbacks(**state["fallbacks"])
