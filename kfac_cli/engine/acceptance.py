"""What decides whether a step stays: the growth limit, which the paper does not have, and ρ.

The quadratic model of a small mini-batch may be far off, and a step that trusts it may ruin a run
before λ has increased. So a step is judged on the next mini-batch, which it was not computed from.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch

from kfac_cli.engine.damping import SUFFICIENT, reduction_ratio
from kfac_cli.engine.direction import Update
from kfac_cli.engine.linearization import Linearization
from kfac_cli.engine.options.kfac import KFACOptions
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.state_rules import Rule, like, number, record

NEGLIGIBLE = 1e-3
"""Fraction of the first h below which h may grow by any factor: the problem is solved there."""


@dataclass(frozen=True)
class Verdict:
    """Whether an update is made: it is not if there is a `reason`.

    `parameters` is what it leads to, `rho` the reduction ratio, if it was measured and is defined.
    `unresolved` says that ρ is not defined and that h does not increase beyond its rounding error.
    """

    parameters: Parameters
    reason: str | None = None
    rho: float | None = None
    unresolved: bool = False


class Acceptance:
    """Decides whether the last step stays and whether the next update is made.

    A step is undone if h grew by more than `growth_max`, or is not finite. `parameters` is θ before
    the last step that was taken, which undoing it restores.
    """

    def __init__(self, options: KFACOptions, parameters: Parameters) -> None:
        self._options = options
        self.parameters = parameters
        self._objective = self._first_objective = math.inf

    def restart(self, parameters: Parameters) -> None:
        """Judge no step that led to `parameters`, which were set from outside, and undo none."""
        self.parameters = parameters
        self._objective = self._first_objective = math.inf

    @property
    def reverts(self) -> bool:
        """Whether there is a step that can be undone."""
        return self._objective != math.inf

    def judge_last_step(self, here: Linearization) -> str | None:
        """The reason why the last step, which led here, must be undone; None if it stays.

        Costs a forward pass at the previous parameters, but only where h has grown too much since
        the last mini-batch.
        """
        if not here.finite:
            if self._first_objective == math.inf:
                return "the objective or its gradient is not finite where it starts"
            return "the last step led to non-finite values"
        if self._exceeds_growth_limit(self._objective, here.objective):
            before = here.objective_at(self.parameters)
            if math.isfinite(before):
                self._objective = before
                if self._exceeds_growth_limit(before, here.objective):
                    return "the last step exceeded growth_max"
        if self._objective == math.inf:
            self._first_objective = here.objective
        self.parameters, self._objective = here.parameters, here.objective
        return None

    def judge_update(self, here: Linearization, update: Update, *, measure: bool) -> Verdict:
        """Whether to make an update; `measure` asks for h(θ + δ) on the same cases and for ρ."""
        parameters = here.shifted(update.delta)
        if not update.finite:
            return Verdict(parameters, "its update is not finite")
        if not measure:
            return Verdict(parameters)
        reached = here.objective_at(parameters)
        if self._exceeds_growth_limit(here.objective, reached):
            return Verdict(parameters, "its update exceeds growth_max")
        rho = self._reduction_ratio(here, reached, update)
        increase = reached - here.objective
        unresolved = rho is None and increase <= self._rounding_error(here)
        return Verdict(parameters, rho=rho, unresolved=unresolved)

    def allows_damping(self, here: Linearization, update: Update) -> bool:
        """Whether h decreases by a quarter of what M predicts: λ is then large enough.

        Without re-scaling it is enough that h does not increase.
        """
        reached = here.objective_at(here.shifted(update.delta))
        rho = self._reduction_ratio(here, reached, update)
        if rho is None or rho >= SUFFICIENT:
            return True
        return reached <= here.objective and not self._options.rescaling

    def _exceeds_growth_limit(self, before: float, after: float) -> bool:
        """Whether h grew by more than `growth_max`, to a value that is not negligible."""
        limit = self._options.growth_limit
        if limit is None:
            return False
        return not after <= max(limit * before, NEGLIGIBLE * self._first_objective)

    def _reduction_ratio(self, here: Linearization, reached: float, update: Update) -> float | None:
        """ρ, of an update whose M is known; None within the rounding error of h."""
        assert update.change is not None
        change = reached - here.objective
        return reduction_ratio(change, update.change, self._rounding_error(here))

    def _rounding_error(self, here: Linearization) -> float:
        """The rounding error of h: of its terms and, near 0, of the residuals."""
        epsilon = torch.finfo(here.parameters[0].dtype).eps
        return epsilon * (here.objective + epsilon * self._first_objective)

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to resume exactly."""
        return {
            "parameters": list(self.parameters),
            "objective": self._objective,
            "first_objective": self._first_objective,
        }

    def state_rules(self) -> Rule:
        """What `state_dict` may return: before the first step, both objectives are infinite."""
        objective = number(0, math.inf)
        return record(
            {
                "parameters": like(self.parameters),
                "objective": objective,
                "first_objective": objective,
            }
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned."""
        self.parameters = list(state["parameters"])
        self._objective = state["objective"]
        self._first_objective = state["first_objective"]


def is_sufficient(decrease: float, predicted: float) -> bool:
    """Whether h decreases by at least a quarter of the predicted decrease, on cases held out."""
    return math.isfinite(decrease) and decrease >= max(SUFFICIENT * predicted, 0.0)
