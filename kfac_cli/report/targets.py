"""Targets: given, or chosen so that they separate the groups."""

import math
from collections.abc import Sequence

import numpy as np

from kfac_cli.report.endings import ended_earlier, slowest_hits, stopped
from kfac_cli.report.measures import ITERATIONS, MEASURES, best_error, measured
from kfac_cli.report.problem import Problem, diverged, median, typical_error

MOVED = 0.7
"""A group whose error is at least this share of the first evaluation's hardly moved from it."""


def automatic_targets(problem: Problem) -> tuple[float, ...]:
    """Up to three training errors, easiest first.

    The hardest is one that all runs of a group reach, so that a test over the seeds can separate
    groups that differ in every run. The easiest is what every group reaches in the median, the
    third in the middle between them on a logarithmic scale; all rounded up to two digits. A group
    that diverged, or hardly moved from its first evaluation, does not count, unless there is no
    other. Where nothing lies between groups, the easiest is in the middle between their start and
    the hardest.
    """
    groups = [group for group in problem.ranked if not diverged(group)] or problem.ranked
    best = [typical_error(group) for group in groups]
    finite = [value for value in best if math.isfinite(value) and value > 0]
    if not finite:
        return ()
    start = median(
        [
            float(values[0])
            for run in problem.runs
            if len(values := measured(run, MEASURES[0])) and math.isfinite(values[0])
        ]
    )
    worst = [max(best_error(run) for run in group.runs) for group in groups]
    low = min([value for value in worst if 0 < value < MOVED * start], default=min(finite))
    high = max([value for value in finite if value < MOVED * start], default=low)
    if high <= low < start:
        high = math.sqrt(low * start)
    high = max(high, low)
    chosen = [rounded_up(high), rounded_up(math.sqrt(low * high)), rounded_up(low)]
    return tuple(dict.fromkeys(chosen))


def rounded_up(value: float) -> float:
    """The smallest number with two significant digits that is not below a positive value."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    up = math.ceil(value / step - 1e-9) * step
    return float(f"{up:.2g}")


def decisive_target(problem: Problem, targets: Sequence[float]) -> float | None:
    """The hardest target that all runs of a group reach; else half of them; else the easiest one.

    If possible, one that no group missed only because it ended earlier than others reached it.
    """
    reached = [target for target in targets if any(map(math.isfinite, _medians(problem, target)))]
    by_all = [
        target
        for target in reached
        if any(
            np.isfinite(problem.times(group, target, ITERATIONS)).all() for group in problem.ranked
        )
    ]
    reached = by_all or reached
    fair = [target for target in reached if not _budgets_differ(problem, target)]
    return min(fair or reached, default=max(targets, default=None))


def _medians(problem: Problem, target: float) -> list[float]:
    return [median(problem.times(group, target, ITERATIONS)) for group in problem.ranked]


def _budgets_differ(problem: Problem, target: float) -> bool:
    """Whether a group that was not stopped missed the target and ended before others reached it."""
    slowest = slowest_hits(problem, problem.ranked, target)
    return any(
        ended_earlier(problem, group, target, ITERATIONS, slowest)
        for group in problem.ranked
        if not any(map(stopped, group.runs))
    )
