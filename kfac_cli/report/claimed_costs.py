"""What reaching an error took the runs that a claim is about, and whether that can be compared."""

import math
from collections.abc import Sequence

from kfac_cli.errors import UserError
from kfac_cli.report.claim import CostToError
from kfac_cli.report.endings import could_have_reached, end_of, stopped
from kfac_cli.report.measures import CASES, ITERATIONS, SECONDS, time_to
from kfac_cli.report.runs import Run

COST_NAMED = {"iterations": ITERATIONS, "cases": CASES, "seconds": SECONDS}


def judged(measure: CostToError, runs: Sequence[Run], notes: list[str]) -> list[Run]:
    """The runs without those that ended before the target for another reason than the optimizer.

    A line for each of those is added to the notes.
    """
    kept = []
    for run in runs:
        missed = math.isinf(time_to(run, measure.error, ITERATIONS))
        if missed and stopped(run):
            notes.append(f"{run.name}: {run.status} before the target and not counted")
        else:
            kept.append(run)
    return kept


def check_costs(measure: CostToError, runs: Sequence[Run]) -> None:
    """Raise UserError without a recorded cost, or if seconds are not of one machine and start."""
    instead = "claim by iterations" + " or by cases" * (measure.cost == "seconds")
    for run in runs:
        if math.isnan(time_to(run, measure.error, COST_NAMED[measure.cost])):
            column = COST_NAMED[measure.cost].column
            raise UserError(f"--claim: {run.name}: has no {column} at the target; {instead}")
    if measure.cost != "seconds":
        return
    timed = [run for run in runs if len(run.evaluations.get("iteration", ()))]
    for run in timed:
        if run.environment.key is None:
            why = "its machine was not recorded"
            if run.environment.mixed:
                why = "it was resumed on another machine, with other threads or versions"
            raise UserError(
                f"--claim: {run.name}: {why}, so that its seconds are not comparable; {instead}"
            )
    if len({run.environment.machine for run in timed}) > 1:
        places = ", ".join(dict.fromkeys(str(run.environment) for run in timed))
        raise UserError(
            f"--claim: seconds of different machines, thread counts or versions ({places}) are not "
            f"comparable; {instead}"
        )
    starts = dict.fromkeys(run.environment.start for run in timed)
    if len(starts) > 1:
        named = ", ".join(f"start_from={'null' if each is None else each}" for each in starts)
        raise UserError(
            f"--claim: seconds from different starts ({named}) are not comparable; {instead}"
        )


def costs(measure: CostToError, runs: Sequence[Run]) -> tuple[float, ...]:
    """What each run took, infinite for a miss."""
    return tuple(time_to(run, measure.error, COST_NAMED[measure.cost]) for run in runs)


def longest(measure: CostToError, runs: Sequence[Run], values: Sequence[float]) -> float:
    """The largest of what the runs took, or of their ends where they missed the target."""
    ends = (end_of(run, COST_NAMED[measure.cost]) for run in runs)
    pairs = zip(values, ends, strict=True)
    return max((end if math.isinf(value) else value for value, end in pairs), default=0.0)


def earliest_costs(
    measure: CostToError,
    runs: Sequence[Run],
    values: Sequence[float],
    others: float,
    notes: list[str],
) -> tuple[float, ...]:
    """What each run would have taken at least had it gone on; `values` are what it took.

    A miss that ended before the `longest` of the other side could have reached the target right
    after its end. A line for each of those is added to the notes.
    """
    earliest = []
    for run, value in zip(runs, values, strict=True):
        end = end_of(run, COST_NAMED[measure.cost])
        if math.isinf(value) and could_have_reached(run, end, others):
            notes.append(
                f"{run.name}: missed the target, but ended after {cost_text(end)} {measure.cost}, "
                f"where the other side had up to {cost_text(others)}"
            )
            value = end
        earliest.append(value)
    return tuple(earliest)


def cost_text(value: float) -> str:
    """A cost in words."""
    return "not reached" if math.isinf(value) else f"{value:.4g}" if value < 1e4 else f"{value:.0f}"
