"""The best parameters of a run: those with the lowest training error that it has measured."""

import math
from dataclasses import dataclass, field
from typing import Any

from kfac_cli.engine import Parameters
from kfac_cli.engine.state_rules import (
    Rule,
    absent,
    count,
    like,
    number,
    optional,
    record,
    word,
)
from kfac_cli.recording.summary import BEST, best_evaluation
from kfac_cli.recording.values import Row


@dataclass
class Best:
    """The parameters with the lowest training error of all evaluations of a run.

    They are an iterate or a Polyak average; `values` is what `best_evaluation` says of them, and
    `parameters` is empty before any finite error. `evaluations` counts the evaluations so far,
    `latest` is the iteration of the last one, 0 before any.
    """

    parameters: Parameters = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=lambda: best_evaluation([]))
    evaluations: int = 0
    latest: int = 0

    @property
    def train_error(self) -> float:
        """The lowest training error; infinite before any finite one."""
        error = self.values["best_train_error"]
        return math.inf if error is None else float(error)

    def include(self, row: Row, iterate: Parameters, average: Parameters) -> None:
        """Include an evaluation, a row of evaluations.csv, of these parameters.

        The earliest of equal errors stays. An evaluation of the same iteration again does not
        count.
        """
        found = best_evaluation([row])
        error = found["best_train_error"]
        if isinstance(error, float) and error < self.train_error:
            self.values = found
            self.parameters = iterate if found["best_parameters"] == "iterate" else average
        iteration = row["iteration"]
        if iteration != self.latest:
            assert isinstance(iteration, int)
            self.evaluations, self.latest = self.evaluations + 1, iteration

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to resume exactly."""
        return {
            "parameters": list(self.parameters),
            **self.values,
            "evaluations": self.evaluations,
            "latest": self.latest,
        }

    @staticmethod
    def state_rules(parameters: Parameters, origin: int, iteration: int) -> Rule:
        """What `state_dict` may return at an `iteration` of a run that began at `origin`."""
        none = dict.fromkeys(BEST, absent)
        some = {
            "best_train_error": number(),
            "best_iteration": count(origin + 1, iteration),
            "best_parameters": word("iterate", "average"),
            "best_test_error": optional(number()),
        }
        return record(
            {
                "parameters": like(parameters, or_none=True),
                "evaluations": count(0, iteration - origin),
                "latest": count(0, iteration),
            },
            lambda state: some if state["parameters"] else none,
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned."""
        self.parameters = list(state["parameters"])
        self.values = {name: state[name] for name in BEST}
        self.evaluations, self.latest = state["evaluations"], state["latest"]
