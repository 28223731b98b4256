"""Progress as the paper compares it: what reaching the same training errors costs."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kfac_cli.recording.summary import DIVERGED
from kfac_cli.report.measures import (
    ITERATIONS,
    MEASURES,
    Cost,
    Values,
    measured,
    spent,
)
from kfac_cli.report.runs import Run

TARGETS = 6
"""Errors at which two runs are compared."""

LEAST_RANGE = 1.1
"""Of errors that are compared, the largest over the smallest: a plateau says nothing of speed."""


class Ratio(NamedTuple):
    """How many times the cost of a run another one takes to reach the same training error.

    A cost is infinite where a run never reaches the error.
    """

    error: float
    own: float
    other: float
    seed: int | None = None

    @property
    def value(self) -> float:
        """The other's cost in units of the run's own: infinite, or 0, if one never gets there."""
        return self.other / self.own if self.own > 0 else math.nan


def cost_at(run: Run, error: float, cost: Cost) -> float:
    """The cost at which the training error of a run first is at most `error`, as `reached_at`."""
    return reached_at(measured(run, MEASURES[0]), spent(run, cost), error)


def reached_at(errors: Values, costs: Values, error: float) -> float:
    """The cost at which the errors first are at most `error`; infinite if they never are.

    Between two evaluations the logarithm of the error is taken to be linear in the cost; before the
    first one nothing is known, whose cost is then an upper bound.
    """
    reached = np.flatnonzero(errors <= error)
    if not len(reached):
        return math.inf
    place = int(reached[0])
    if place == 0 or not (math.isfinite(errors[place - 1]) and errors[place] > 0):
        return float(costs[place])
    before, after = math.log(errors[place - 1]), math.log(errors[place])
    share = (before - math.log(error)) / (before - after)
    return float(costs[place - 1] + share * (costs[place] - costs[place - 1]))


def common_errors(runs: Sequence[Run], count: int = TARGETS) -> Values:
    """Errors that all runs reach after their first evaluations, largest first.

    Those of the smaller of iterate and average, as `shared_errors` has them.
    """
    return shared_errors([measured(run, MEASURES[0]) for run in runs], count)


def shared_errors(curves: Sequence[Values], count: int = TARGETS) -> Values:
    """Errors that all curves of errors (evaluations,) reach after their first ones, largest first.

    `count` in equal ratios down to the largest of their best errors, which is the last; none if a
    curve has no finite error, or if they share less than a factor of `LEAST_RANGE`: one is better
    at its first evaluation than another one ever, before which nothing is known, or learns nothing.
    """
    finite = [curve[np.isfinite(curve)] for curve in curves]
    if not all(map(len, finite)):
        return np.array([])
    low, high = max(curve.min() for curve in finite), min(curve[0] for curve in finite)
    if low <= 0 or high < LEAST_RANGE * low:
        return np.array([])
    return np.geomspace(high, low, count + 1)[1:]


def compared_errors(own: Values, other: Values) -> Values:
    """Errors at which two curves of errors are compared: `shared_errors`, if there are any.

    If not, the lower of their best errors, which the other curve never reaches: as many times, so
    that a miss has the weight of any other pair. None if their best errors are within a factor of
    `LEAST_RANGE`, which says nothing of speed.
    """
    shared = shared_errors((own, other))
    if len(shared):
        return shared
    better, worse = sorted(map(_lowest, (own, other)))
    return np.full(TARGETS, better) if better * LEAST_RANGE < worse else np.array([])


def compared(
    own: tuple[Values, Values], other: tuple[Values, Values], seed: int | None = None
) -> list[Ratio]:
    """What two curves of errors and costs (evaluations,) each take to the same errors.

    Those of `compared_errors`, without costs that were not recorded.
    """
    errors = compared_errors(own[0], other[0])
    found = [Ratio(float(e), reached_at(*own, e), reached_at(*other, e), seed) for e in errors]
    return [ratio for ratio in found if not math.isnan(ratio.value)]


def ratios(run: Run, other: Run, cost: Cost) -> list[Ratio]:
    """How many times the cost of `run` the other one takes, at each of `compared_errors`."""
    own, others = ((measured(each, MEASURES[0]), spent(each, cost)) for each in (run, other))
    return compared(own, others, run.seed)


def errors_beside(run: Run, other: Run) -> Values:
    """Training error of another run over that of this one, after as many iterations (n,).

    At the later half of the evaluations that both have; infinite where the other had diverged.
    """
    own, others = (
        dict(zip(spent(each, ITERATIONS).tolist(), measured(each, MEASURES[0]), strict=True))
        for each in (run, other)
    )
    end = math.inf if other.status == DIVERGED else max(others, default=0)
    shared = [at for at in own if at in others or max(others, default=0) < at <= end]
    later = [at for at in shared[len(shared) // 2 :] if 0 < own[at] < math.inf]
    found = np.array([others.get(at, math.inf) / own[at] for at in later])
    return np.where(np.isnan(found), math.inf, found)


def average_ratios(run: Run) -> Values:
    """Training error of the Polyak average over that of the iterate (n,).

    At the evaluations of the second half of the run where the two differ.
    """
    rows = run.evaluations
    iterate, average = rows.get("train_error"), rows.get("train_error_average")
    if iterate is None or average is None:
        return np.array([])
    half = len(iterate) // 2
    iterate, average = iterate[half:], average[half:]
    known = np.isfinite(iterate) & np.isfinite(average) & (iterate > 0) & (iterate != average)
    values: Values = average[known] / iterate[known]
    return values


def _lowest(errors: Values) -> float:
    return float(np.min(errors, initial=math.inf, where=np.isfinite(errors)))
