"""Polyak averaging of the iterates (section 13)."""

from typing import Any

import torch

from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.state_rules import Rule, like, record


class PolyakAverage:
    """The exponentially decayed average of the iterates, θ̄ ← ξ θ̄ + (1 - ξ) θ.

    `decay` is ξ in [0, 1). Up to and including iteration `start`, the average equals the iterate;
    with 0, averaging starts from the first iterate. `parameters` is θ̄, empty before any update.
    """

    def __init__(self, decay: float = 0.99, start: int = 0) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay}: must be in [0, 1)")
        self.decay = decay
        self.start = start
        self.parameters: Parameters = []
        self._before: Parameters = []  # the latest update

    def update(self, iteration: int, parameters: Parameters) -> None:
        """Include the iterate θ that iteration `iteration` = 1, 2, … produced."""
        self._before = self.parameters
        if iteration <= self.start or not self.parameters:
            self.parameters = list(parameters)
            return
        self.parameters = [
            torch.lerp(average, iterate, 1 - self.decay)
            for average, iterate in zip(self.parameters, parameters, strict=True)
        ]

    def undo(self) -> None:
        """Forget the iterate of the latest update, whose step was reverted."""
        self.parameters = self._before

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to resume exactly."""
        return {"parameters": list(self.parameters), "before": list(self._before)}

    @staticmethod
    def state_rules(parameters: Parameters) -> Rule:
        """What `state_dict` may return with iterates shaped like `parameters`."""
        average = like(parameters, or_none=True)
        return record({"parameters": average, "before": average})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned."""
        self.parameters = list(state["parameters"])
        self._before = list(state["before"])
