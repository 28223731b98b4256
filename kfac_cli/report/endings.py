"""How runs ended, and what that says about a target they missed."""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from kfac_cli.recording.summary import DIVERGED, FAILED, INTERRUPTED, PRUNED
from kfac_cli.report.groups import Group
from kfac_cli.report.measures import COSTS, ITERATIONS, Cost, Values, spent
from kfac_cli.report.problem import Problem
from kfac_cli.report.runs import UNFINISHED, Run

SAME_BUDGET = 0.98
"""A run that ended after this share of a cost had the same budget, but for its last step."""

ENDED_EARLIER = "ended earlier"


def lost(run: Run) -> bool:
    """Whether the optimizer itself ended the run, so that its errors count as infinite."""
    return run.status == DIVERGED


def stopped(run: Run) -> bool:
    """Whether something else ended the run, such as a signal or a full disk, or it still runs."""
    return run.status in (INTERRUPTED, PRUNED, FAILED, UNFINISHED)


def could_have_reached(run: Run, end: float, others: float) -> bool:
    """Whether a run that missed a target might have reached it after its `end`, a cost.

    So it is if it was stopped, or ended before what `others` took. A run that diverged had its
    chance.
    """
    return not lost(run) and (stopped(run) or end < SAME_BUDGET * others)


def slowest_hits(problem: Problem, groups: Iterable[Group], target: float) -> dict[Cost, float]:
    """What the slowest run that reached the target took, of the groups that can be ranked.

    0 if no run reached it.
    """
    slowest = dict.fromkeys(COSTS, 0.0)
    for group in groups:
        for cost in COSTS:
            if problem.is_ranked(group, cost):
                times = problem.times(group, target, cost)
                slowest[cost] = max(slowest[cost], *times[np.isfinite(times)], 0.0)
    return slowest


def earliest_times(
    problem: Problem, group: Group, target: float, cost: Cost, slowest: Mapping[Cost, float]
) -> Values:
    """The times of `Problem.times` (runs,), a censored miss replaced by the cost at its end.

    A miss is censored if the run `could_have_reached` the target at any later time. Where a run
    ended is compared in iterations if its seconds are not comparable; its earliest time is then 0.
    """
    times = problem.times(group, target, cost)
    runs = problem.timed(group, target, cost)
    for place in np.flatnonzero(np.isinf(times)):
        run = runs[place]
        own = cost if problem.comparable(run, cost) else ITERATIONS
        end = end_of(run, own)
        if could_have_reached(run, end, slowest[own]):
            times[place] = end if own == cost else 0.0
    return times


def ended_earlier(
    problem: Problem, group: Group, target: float, cost: Cost, slowest: Mapping[Cost, float]
) -> bool:
    """Whether a miss of the group is censored, as `earliest_times` describes."""
    earliest = earliest_times(problem, group, target, cost, slowest)
    return bool((earliest < problem.times(group, target, cost)).any())


def end_of(run: Run, cost: Cost) -> float:
    """The cost at the last evaluation; 0 if there is none or it was not recorded."""
    values = spent(run, cost)
    return float(values[-1]) if len(values) and math.isfinite(values[-1]) else 0.0
