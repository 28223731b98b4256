"""The clock of a trial: optimizer seconds alone, with evaluations at growing distances.

Nothing here imports torch or JAX, since both kinds of trial use it.
"""

from collections.abc import Callable
from time import perf_counter

FIRST_PAUSE, GROWTH = 0.25, 0.02
"""Seconds to the next evaluation: at least the first, and this fraction of the clock."""

Point = tuple[float, int, float]
"""Optimizer seconds, iterations, training error."""


def curve(
    step: Callable[[], bool], error: Callable[[], float], last_target: float, limit: float
) -> list[Point]:
    """Take steps until the error, the limit of seconds, or a step that says that none is left.

    `step` returns when its computation is done; `error` evaluates, which the clock does not count.
    """
    clock = due = 0.0
    iteration = 0
    points = [(0.0, 0, error())]
    more = True
    while more and clock < limit:
        started = perf_counter()
        more = step()
        clock += perf_counter() - started
        iteration += 1
        if clock >= due or clock >= limit or not more:
            points.append((clock, iteration, error()))
            due = clock + max(FIRST_PAUSE, GROWTH * clock)
            if points[-1][2] <= last_target:
                break
    return points


def seconds_to(points: list[Point], target: float, limit: float) -> float:
    """The clock at the first evaluation that is at most the target; infinite for a miss."""
    reached = (clock for clock, _, error in points if error <= target and clock <= limit)
    return next(reached, float("inf"))
