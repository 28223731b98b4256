"""How progress depends on the mini-batch size: the exponent p of progress per iteration ∝ m^p.

Progress per iteration towards an error is 1 over the iterations that reaching it takes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from kfac_cli.paper.progress import common_errors, cost_at
from kfac_cli.report.measures import CASES, COSTS, ITERATIONS
from kfac_cli.report.runs import Run

ERRORS = 8
"""At which the exponent is measured, the later half of which count."""


class Exponent(NamedTuple):
    """The exponent at a training error; iterations and cases to it for each size."""

    error: float
    value: float
    iterations: tuple[float, ...]
    cases: tuple[float, ...]


def exponents(runs: Mapping[int, Run]) -> list[Exponent]:
    """The exponents at errors that the runs of all sizes reach, largest error first.

    Those of the later half of the range, where the noise of the gradient counts; none for fewer
    than two sizes.
    """
    if len(runs) < 2:
        return []
    every = list(runs.values())
    errors = common_errors(every, ERRORS)
    found = []
    for error in errors[len(errors) // 2 :]:
        iterations, cases = (
            tuple(cost_at(run, float(error), cost) for run in every) for cost in (ITERATIONS, CASES)
        )
        value = _slope(list(runs), iterations)
        if math.isfinite(value):
            found.append(Exponent(float(error), value, iterations, cases))
    return found


def counted_from(run: Run, iteration: int) -> Run:
    """The run with its costs counted from a later start than its own beginning.

    A run that started from another one counts iterations and cases from the other's beginning.
    """
    if not iteration:
        return run
    rows = run.evaluations
    before = {ITERATIONS.column: float(iteration), CASES.column: _cases_before(run)}
    shifted = {
        cost.column: rows[cost.column] - before.get(cost.column, 0.0)
        for cost in COSTS
        if cost.column in rows
    }
    return replace(run, evaluations={**rows, **shifted})


def _cases_before(run: Run) -> float:
    """The cases before the run's first iteration."""
    cases, sizes = run.metrics.get(CASES.column), run.metrics.get("batch_size")
    if cases is None or sizes is None or not len(cases):
        return math.nan
    return float(cases[0] - sizes[0])


def _slope(sizes: Sequence[int], iterations: Sequence[float]) -> float:
    """The slope of log progress over log m, by least squares; nan if a run did not get there."""
    if not all(math.isfinite(each) and each > 0 for each in iterations):
        return math.nan
    x, y = np.log(np.array(sizes, dtype=float)), -np.log(np.array(iterations))
    x = x - x.mean()
    return float((x @ y) / (x @ x))
