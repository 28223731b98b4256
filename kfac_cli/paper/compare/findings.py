"""What `compare` finds: the statements of section 13 on figures 10 and 11, in numbers."""

from collections.abc import Mapping, Sequence

from kfac_cli.paper.compare.methods import (
    BASELINE,
    DIAGONAL,
    TRIDIAGONAL,
    TRIDIAGONAL_NO_MOMENTUM,
)
from kfac_cli.paper.progress import average_ratios, ratios
from kfac_cli.paper.statement import Statement
from kfac_cli.paper.study import Finding
from kfac_cli.report.measures import ITERATIONS, SECONDS, Cost
from kfac_cli.report.runs import Run

Runs = Mapping[str, Sequence[Run]]
"""The runs of each method on one problem, one for each seed, in the same order of seeds."""

SAME = 0.05
"""What counts as no difference between the error of an average and that of the iterate."""

TRIDIAGONAL_PER_ITERATION = Statement(
    "block-tridiagonal K-FAC makes 25 to 40 per cent more progress per iteration than "
    "block-diagonal K-FAC",
    "section 13, figure 11",
    "iterations of block-diagonal over those of block-tridiagonal to the same error",
    "1.25 to 1.40, typically",
    "the median is 1.25 or more",
    lambda ratio: ratio >= 1.25,
)
TRIDIAGONAL_PER_SECOND = Statement(
    "block-tridiagonal K-FAC is faster per second than block-diagonal K-FAC",
    "section 13, figure 10",
    "seconds of block-diagonal over those of block-tridiagonal to the same error",
    "moderately above 1, depending on the problem",
    "the median is above 1",
    lambda ratio: ratio > 1,
)
NO_MOMENTUM = Statement(
    "without momentum K-FAC is not significantly faster than the baseline",
    "section 13, figure 10",
    "seconds of the baseline over those of K-FAC without momentum to the same error",
    "not significantly above 1",
    "the median is below 1.25",
    lambda ratio: ratio < 1.25,
)
ORDERS_PER_ITERATION = Statement(
    "K-FAC makes orders of magnitude more progress per iteration than tuned Nesterov SGD",
    "section 13, figure 11",
    "iterations of the baseline over those of K-FAC to the same error",
    "orders of magnitude",
    "the median is 10 or more",
    lambda ratio: ratio >= 10,
)
FASTER_PER_SECOND = Statement(
    "K-FAC is much faster per second than tuned Nesterov SGD",
    "section 13, figure 10",
    "seconds of the baseline over those of K-FAC to the same error",
    "much above 1",
    "the median is 1.5 or more",
    lambda ratio: ratio >= 1.5,
)
AVERAGE_BASELINE = Statement(
    "averaging the iterates helps the baseline",
    "section 13",
    "error of the average over that of the iterate, second half of a run",
    "below 1",
    f"the median is below {1 - SAME:g}",
    lambda ratio: ratio < 1 - SAME,
)
AVERAGE_KFAC = Statement(
    "averaging the iterates does not help K-FAC with growing mini-batches, or hurts a bit",
    "section 13",
    "error of the average over that of the iterate, second half of a run",
    "1 or somewhat more",
    f"the median is {1 - SAME:g} or more",
    lambda ratio: ratio >= 1 - SAME,
)

COMPARISONS: tuple[tuple[Statement, str, str, Cost], ...] = (
    (TRIDIAGONAL_PER_ITERATION, TRIDIAGONAL, DIAGONAL, ITERATIONS),
    (TRIDIAGONAL_PER_SECOND, TRIDIAGONAL, DIAGONAL, SECONDS),
    (NO_MOMENTUM, TRIDIAGONAL_NO_MOMENTUM, BASELINE, SECONDS),
    (ORDERS_PER_ITERATION, TRIDIAGONAL, BASELINE, ITERATIONS),
    (FASTER_PER_SECOND, TRIDIAGONAL, BASELINE, SECONDS),
)
"""A statement, the method it is about, the one it is compared with, and by what cost."""

AVERAGES = ((AVERAGE_BASELINE, BASELINE), (AVERAGE_KFAC, TRIDIAGONAL))


def findings(problem: str, runs: Runs) -> list[Finding]:
    """What the runs on a problem say about each statement."""
    compared = [
        _compared(statement, problem, runs, method, other, cost)
        for statement, method, other, cost in COMPARISONS
    ]
    averaged = [_averaged(statement, problem, runs, method) for statement, method in AVERAGES]
    return [*compared, *averaged]


def _compared(
    statement: Statement, problem: str, runs: Runs, method: str, other: str, cost: Cost
) -> Finding:
    if missing := [name for name in (method, other) if not runs.get(name)]:
        return statement.finding([], problem, note=f"There is no run of {missing[0]}.")
    found = [
        ratio
        for own, theirs in zip(runs[method], runs[other], strict=True)
        for ratio in ratios(own, theirs, cost)
    ]
    numbers: dict[str, float | int | str] = {"seeds": len(runs[method])}
    numbers |= {
        f"at error {ratio.error:.3g}": f"{ratio.own:.4g} and {ratio.other:.4g} {cost.label}"
        for ratio in found
    }
    return statement.finding([ratio.value for ratio in found], problem, numbers)


def _averaged(statement: Statement, problem: str, runs: Runs, method: str) -> Finding:
    values = [float(value) for run in runs.get(method, ()) for value in average_ratios(run)]
    note = "" if values else f"No evaluation of {method} has an average beside the iterate."
    return statement.finding(values, problem, note=note)
