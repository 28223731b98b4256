"""What `compare` finds: the statements of section 13 on figures 10 and 11, in numbers."""

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

BASELINES = {BASELINE: "", BASELINE_ON_FEWER: f" on mini-batches of {FEWER_CASES} cases"}
"""Those that K-FAC is compared with by seconds, and what statements say of them."""

COMPARISONS = (
    Comparison(TRIDIAGONAL_PER_ITERATION, TRIDIAGONAL, DIAGONAL, ITERATIONS),
    Comparison(TRIDIAGONAL_PER_SECOND, TRIDIAGONAL, DIAGONAL, SECONDS),
    *(
        Comparison(
            replace(statement, text=f"with {values}, {statement.text}"),
            f"{TRIDIAGONAL}-{preset}",
            f"{DIAGONAL}-{preset}",
            cost,
        )
        for preset, values in PRESETS.items()
        for statement, cost in (
            (TRIDIAGONAL_PER_ITERATION, ITERATIONS),
            (TRIDIAGONAL_PER_SECOND, SECONDS),
        )
    ),
    Comparison(MORE_PER_ITERATION, TRIDIAGONAL, BASELINE, ITERATIONS),
    *(
        Comparison(replace(statement, text=statement.text + on), method, baseline, SECONDS)
        for baseline, on in BASELINES.items()
        for statement, method in (
            (NO_MOMENTUM, TRIDIAGONAL_NO_MOMENTUM),
            (FASTER_PER_SECOND, TRIDIAGONAL),
        )
    ),
)

AVERAGES = ((AVERAGE_OF_BASELINE, BASELINE), (AVERAGE_OF_KFAC, TRIDIAGONAL))


def average_findings(problem: str, runs: MethodRuns) -> list[Finding]:
    """What the runs on a problem say about averaging the iterates."""
    return [_averaged(statement, method, problem, runs) for statement, method in AVERAGES]


def _averaged(statement: Statement, method: str, problem: str, runs: MethodRuns) -> Finding:
    values = [float(value) for run in runs.get(method, ()) for value in average_ratios(run)]
    note = "" if values else f"No evaluation of {method} has an average beside the iterate."
    return statement.finding(values, problem, note=note)
