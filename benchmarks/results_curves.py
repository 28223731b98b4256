"""The curves of training errors that sections of docs/results.md are made from."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kfac_cli.paper.progress import reached_at
from kfac_cli.report.measures import CASES, ITERATIONS, SECONDS, Values

COSTS = {
    "iterations": ITERATIONS.column,
    "cases": CASES.column,
    "seconds": SECONDS.column,
}
"""The columns of what an error costs, by the names that the document has for them."""

ERRORS = ("train_error", "train_error_average")

KEPT = ("problem", "method", "seed", *COSTS.values(), *ERRORS)


class Curve(NamedTuple):
    """The evaluations of one run: the `errors` (evaluations,) and what they cost, by `COSTS`.

    Of the iterate and its average the smaller error counts, as in the paper. Costs that were not
    recorded are nan.
    """

    method: str
    seed: int
    errors: Values
    costs: Mapping[str, Values]

    def first(self, target: float, cost: str = "seconds") -> float:
        """The cost at which the error is at most the target, or infinity."""
        return reached_at(self.errors, self.costs[cost], target)

    def best_within(self, seconds: float) -> float:
        """The lowest error in so many optimizer seconds; nan if none was measured in them.

        Between two evaluations the logarithm of the error is linear, as for `first`.
        """
        clock = self.costs["seconds"]
        known = self.errors[(clock <= seconds) & np.isfinite(self.errors)]
        if not len(known):
            return math.nan
        around = np.isfinite(self.errors) & (self.errors > 0)
        after = np.flatnonzero(clock > seconds)
        if not len(after) or not around[after[0] - 1 : after[0] + 1].all():
            return float(known.min())
        place = slice(after[0] - 1, after[0] + 1)
        at_end = math.exp(np.interp(seconds, clock[place], np.log(self.errors[place])))
        return min(float(known.min()), at_end)


def common_seconds(runs: Sequence[Curve]) -> float:
    """The optimizer seconds that all runs took but those that diverged, unless all did."""
    ends = [run for run in runs if math.isfinite(run.errors[-1])]
    return min(float(run.costs["seconds"][-1]) for run in ends or runs)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table in CSV."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def curves(rows: Sequence[Mapping[str, str]]) -> list[Curve]:
    """The runs of a table, in its order."""
    runs: dict[tuple[str, int], list[Mapping[str, str]]] = {}
    for row in rows:
        runs.setdefault((row["method"], int(row["seed"])), []).append(row)
    return [
        Curve(
            method,
            seed,
            np.fmin.reduce([_column(own, name) for name in ERRORS]),
            {name: _column(own, column) for name, column in COSTS.items()},
        )
        for (method, seed), own in runs.items()
    ]


def _column(rows: Sequence[Mapping[str, str]], name: str) -> Values:
    return np.array([float(row.get(name) or math.nan) for row in rows])
