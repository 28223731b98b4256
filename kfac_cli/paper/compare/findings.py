"""What `compare` finds: the statements on figures 10 and 11, in numbers."""

from dataclasses import replace

from kfac_cli.paper.compare.methods import (
    BASELINE,
    BASELINE_ON_FEWER,
    DIAGONAL,
    PRESETS,
    TRIDIAGONAL,
    TRIDIAGONAL_NO_MOMENTUM,
)
from kfac_cli.paper.judgement import Comparison, MethodRuns
from kfac_cli.paper.methods import FEWER_CASES
from kfac_cli.paper.progress import average_ratios
from kfac_cli.paper.statement import Statement
from kfac_cli.paper.study import Finding
from kfac_cli.report.measures import ITERATIONS, SECONDS

DIFFERENT = 0.05
"""From this on the error of an average differs from that of the iterate."""

TRIDIAGONAL_PER_ITERATION = Statement(
    "block-tridiagonal K-FAC makes 25 to 40 per cent more progress per iteration than "
    "block-diagonal K-FAC",
    "section 13, figure 11",
    "iterations of block-diagonal over those of block-tridiagonal to the same error",
    "typically 1.25 to 1.40",
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
MORE_PER_ITERATION = Statement(
    "K-FAC makes orders of magnitude more progress per iteration than tuned Nesterov SGD",
    "section 13, figure 11",
    "iterations of the baseline over those of K-FAC to the same error",
    "orders of magnitude more",
    "the median is 100 or more",
    lambda ratio: ratio >= 100,
)
FASTER_PER_SECOND = Statement(
    "K-FAC is much faster per second than tuned Nesterov SGD",
    "section 13, figure 10",
    "seconds of the baseline over those of K-FAC to the same error",
    "much above 1",
    "the median is 2 or more",
    lambda ratio: ratio >= 2,
)
MOMENTUM = Statement(
    "momentum makes K-FAC substantially faster",
    "section 7, figure 10",
    "seconds of K-FAC without momentum, on mini-batches that suit it, over those of K-FAC to the "
    "same error",
    "substantially above 1 where the gradients have little noise",
    "the median is 1.25 or more",
    lambda ratio: ratio >= 1.25,
)
AVERAGE_OF_BASELINE = Statement(
    "averaging the iterates helps the baseline",
    "section 13",
    "error of the average over that of the iterate, second half of a run",
    "below 1",
    f"the median is below {1 - DIFFERENT:g}",
    lambda ratio: ratio < 1 - DIFFERENT,
)
AVERAGE_OF_KFAC = Statement(
    "averaging the iterates does not help K-FAC on growing mini-batches",
    "section 13",
    "error of the average over that of the iterate, second half of a run",
    "1 or somewhat more",
    f"the median is {1 - DIFFERENT:g} or more",
    lambda ratio: ratio >= 1 - DIFFERENT,
)

ON_FEWER = f" on mini-batches of {FEWER_CASES} cases"
"""What statements say of a baseline that does more per second."""

VALUES = {"": "", **{f"-{preset}": f"with {values}, " for preset, values in PRESETS.items()}}
"""The ends of the names of methods with each set of values, and what statements say of them."""

COMPARISONS = (
    *(
        Comparison(
            replace(statement, text=having + statement.text),
            f"{TRIDIAGONAL}{values}",
            other if other == BASELINE else f"{other}{values}",
            cost,
        )
        for values, having in VALUES.items()
        for statement, other, cost in (
            (TRIDIAGONAL_PER_ITERATION, DIAGONAL, ITERATIONS),
            (TRIDIAGONAL_PER_SECOND, DIAGONAL, SECONDS),
            (MORE_PER_ITERATION, BASELINE, ITERATIONS),
            (FASTER_PER_SECOND, BASELINE, SECONDS),
        )
    ),
    Comparison(NO_MOMENTUM, TRIDIAGONAL_NO_MOMENTUM, BASELINE, SECONDS),
    *(
        Comparison(
            replace(statement, text=statement.text + ON_FEWER), method, BASELINE_ON_FEWER, SECONDS
        )
        for statement, method in (
            (FASTER_PER_SECOND, TRIDIAGONAL),
            (NO_MOMENTUM, TRIDIAGONAL_NO_MOMENTUM),
        )
    ),
    Comparison(MOMENTUM, TRIDIAGONAL, TRIDIAGONAL_NO_MOMENTUM, SECONDS),
)

AVERAGES = (
    (AVERAGE_OF_BASELINE, BASELINE),
    *(
        (replace(AVERAGE_OF_KFAC, text=having + AVERAGE_OF_KFAC.text), f"{TRIDIAGONAL}{values}")
        for values, having in VALUES.items()
    ),
)


def average_findings(problem: str, runs: MethodRuns) -> list[Finding]:
    """What the runs on a problem say about averaging the iterates."""
    return [_averaged(statement, method, problem, runs) for statement, method in AVERAGES]


def _averaged(statement: Statement, method: str, problem: str, runs: MethodRuns) -> Finding:
    values = [float(value) for run in runs.get(method, ()) for value in average_ratios(run)]
    note = "" if values else f"No evaluation of {method} has an average beside the iterate."
    return statement.finding(values, problem, note=note)
