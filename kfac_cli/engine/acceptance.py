"""What the last step was made from, and whether it may stay: a rule that the paper does not have.

The quadratic model of a few cases may promise anything, and a step that believes it may ruin a run
before λ has grown. The next mini-batch, which the step was not made from, judges it.
"""

import math
from typing import Any

import torch

from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.engine.options import KFACOptions
from kfac_cli.engine.parameters import Parameters

NEGLIGIBLE = 1e-3
"""Share of the first h up to which it may grow by any factor: the problem is solved there."""


class Safeguard:
    """`parameters` is θ before the last step that was taken, to which a run may go back."""

    def __init__(self, options: KFACOptions, parameters: Parameters) -> None:
        self._options = options
        self.parameters = parameters
        self._objective = self._first_objective = math.inf

    def accept(self, parameters: Parameters, objective: float) -> None:
        """Note θ and h(θ), from which a step is about to be taken."""
        if self._objective == math.inf:
            self._first_objective = objective
        self.parameters, self._objective = parameters, objective

    def rejects_last_step(self, batch: MiniBatch, objective: float) -> bool:
        """Whether the last step made h jump to `objective`, as `batch` sees it.

        A forward pass at the parameters before it, only where h has grown since the last batch.
        """
        if not self.exceeds_growth_limit(self._objective, objective):
            return False
        self._objective = batch.objective(self.parameters, self._options.l2)
        return self.exceeds_growth_limit(self._objective, objective)

    def exceeds_growth_limit(self, before: float, after: float) -> bool:
        """Whether h has grown by more than `growth_max`, and to what is not negligible."""
        limit = self._options.growth_limit
        if limit is None:
            return False
        return not after <= max(limit * before, NEGLIGIBLE * self._first_objective)

    def rounding(self, objective: float) -> float:
        """An error to be expected in h: of its terms, and of residuals where they are next to 0."""
        epsilon = torch.finfo(self.parameters[0].dtype).eps
        return epsilon * (objective + epsilon * self._first_objective)

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on exactly."""
        return {
            "parameters": list(self.parameters),
            "objective": self._objective,
            "first_objective": self._first_objective,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.parameters = list(state["parameters"])
        self._objective = state["objective"]
        self._first_objective = state["first_objective"]
