"""What the curvatures that are made from Ā and G have in common: their running averages."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, Protocol

from kfac_cli.engine.curvature.exact_tikhonov import ExactTikhonovInverse, begun_exactly
from kfac_cli.engine.curvature.factors import KroneckerFactors, running_average_weight
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.protocol import Curvature, Inverse
from kfac_cli.engine.options.curvature import EXACT_ITERATIONS
from kfac_cli.engine.options.kfac import KFACOptions
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.processes import Processes
from kfac_cli.engine.state_rules import Rule, count, optional, record, variant


class SavedInverse(Protocol):
    """A kind of inverse that can be saved."""

    @classmethod
    def state_rules(cls, parameters: Parameters) -> Rule:
        """What `state_dict` may return for `parameters` of these shapes."""

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Inverse:
        """The inverse that `state_dict` describes; raises ValueError if it is of another kind."""


class FactoredCurvature(Curvature):
    """The running averages of Ā and G (section 5); a subclass makes inverses from them.

    `factors` is None before the first update; `iteration` is that of the last one.
    """

    def __init__(self, options: KFACOptions, fallbacks: Fallbacks | None = None) -> None:
        self.options = options
        self.factors: KroneckerFactors | None = None
        self.iteration = 0
        self.fallbacks = Fallbacks() if fallbacks is None else fallbacks

    def update(self, statistics: KroneckerFactors | None, iteration: int) -> None:
        assert statistics is not None
        self.iteration = iteration
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

    def begun(
        self, gammas: Sequence[float], processes: Processes
    ) -> Callable[[Fallbacks], list[Inverse]]:
        tikhonov, first = self.options.tikhonov, self.iteration <= EXACT_ITERATIONS
        if tikhonov == "exact" or (tikhonov == "exact_first" and first):
            return begun_exactly(self.known_factors, gammas, processes, few_cases=first)
        return self._begun(gammas, processes)

    @abstractmethod
    def _begun(
        self, gammas: Sequence[float], processes: Processes
    ) -> Callable[[Fallbacks], list[Inverse]]:
        """As `begun`, without exact damping."""

    def state_dict(self) -> dict[str, Any]:
        factors = self.factors
        return {
            "iteration": self.iteration,
            "factors": None if factors is None else factors.state_dict(),
            "fallbacks": dict(vars(self.fallbacks)),
        }

    def state_rules(self, parameters: Parameters) -> Rule:
        return record(self._rules(parameters))

    def _rules(self, parameters: Parameters) -> dict[str, Rule]:
        """The rules for the values that `state_dict` returns here, by their names."""
        factors = KroneckerFactors.state_rules(parameters, self.needs.neighbours)
        fallbacks = record({field.name: count() for field in fields(Fallbacks)})
        return {"iteration": count(), "factors": optional(factors), "fallbacks": fallbacks}

    @property
    @abstractmethod
    def kinds(self) -> Sequence[type[SavedInverse]]:
        """The kinds of inverses that it makes without exact damping."""

    @property
    def _all_kinds(self) -> Sequence[type[SavedInverse]]:
        """Those, and the exactly damped one, since `tikhonov` may have changed."""
        return [*self.kinds, ExactTikhonovInverse]

    def inverse_rules(self, parameters: Parameters) -> Rule:
        return variant({kind.__name__: kind.state_rules(parameters) for kind in self._all_kinds})

    def restore(self, state: dict[str, Any]) -> Inverse:
        named = (kind for kind in self._all_kinds if kind.__name__ == state["type"])
        return next(named, self.kinds[0]).from_state_dict(state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        factors, self.iteration = state["factors"], state["iteration"]
        self.factors = None if factors is None else KroneckerFactors.from_state_dict(factors)
        self.fallbacks = Fallbacks(**state["fallbacks"])
