"""Rejection of steps that increase the objective too much: a rule that the paper does not have.

The quadratic model of a small mini-batch may be far off, and a step that trusts it may ruin a run
before λ has increased. So a step is judged on the next mini-batch, which it was not computed from.
"""

import math
from typing import Any

import torch

from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.engine.options import KFACOptions
from kfac_cli.engine.parameters import Parameters

NEGLIGIBLE = 1e-3
"""Fraction of the first h below which h may grow by any factor: the problem is solved there."""


class Safeguard:
    """Decides whether the last step is undone: it is if h grew by more than `growth_max`.

    `parameters` is θ before the last step that was taken, which undoing it restores.
    """

    def __init__(self, options: KFACOptions, parameters: Parameters) -> None:
        self._options = options
        self.parameters = parameters
        self._objective = self._first_objective = math.inf

    def accept(self, parameters: Parameters, objective: float) -> None:
        """Accept the last step, which led to θ and h(θ); the next one starts there."""
        if self._objective == math.inf:
            self._first_objective = objective
        self.parameters, self._objective = parameters, objective

    def rejects_last_step(self, batch: MiniBatch, objective: float) -> bool:
        """Whether the last step increased h on `batch` too much, to `objective`.

        Costs a forward pass at the previous parameters, but only where h has grown too much since
        the last mini-batch.
        """
        if not self.exceeds_growth_limit(self._objective, objective):
            return False
        self._objective = batch.objective(self.parameters, self._options.l2)
        return self.exceeds_growth_limit(self._objective, objective)

    def exceeds_growth_limit(self, before: float, after: float) -> bool:
        """Whether h grew by more than `growth_max`, to a value that is not negligible."""
        limit = self._options.growth_limit
        if limit is None:
            return False
        return not after <= max(limit * before, NEGLIGIBLE * self._first_objective)

    def rounding_error(self, objective: float) -> float:
        """The rounding error to expect in h: of its terms and, near h = 0, of the residuals."""
        epsilon = torch.finfo(self.parameters[0].dtype).eps
        return epsilon * (objective + epsilon * self._first_objective)

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to resume exactly."""
        return {
            "parameters": list(self.parameters),
            "objective": self._objective,
            "first_objective": self._first_objective,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned."""
        self.parameters = list(state["parameters"])
        self._objective = state["objective"]
        self._first_objective = state["first_objective"]
