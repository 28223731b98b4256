"""How many times what K-FAC takes other methods take to the same training error."""

import math
from collections.abc import Iterator, Sequence

from benchmarks.common.document import markdown_table
from benchmarks.common.timing import figures
from benchmarks.results_curves import COSTS, Curve
from kfac_cli.paper.progress import compared
from kfac_cli.paper.statement import NEVER, middle_values


def ratios_table(runs: Sequence[Curve], methods: Sequence[str], others: Sequence[str]) -> str:
    """A row for each of `methods` that was run, and a column for each of `others`, in Markdown.

    A cell has the medians of the ratios of iterations, of cases and of seconds; that of a method
    beside itself is empty. So is the table, without runs of two methods.
    """
    known = {run.method for run in runs}
    rows, columns = ([m for m in names if m in known] for names in (methods, others))
    if not rows or len({*rows, *columns}) < 2:
        return ""
    cells = [
        [row, *("" if row == column else _cell(runs, row, column) for column in columns)]
        for row in rows
    ]
    return markdown_table(["", *columns], cells)


def _cell(runs: Sequence[Curve], method: str, other: str) -> str:
    return ", ".join(_median(list(ratios(runs, method, other, cost))) for cost in COSTS)


def _median(values: Sequence[float]) -> str:
    return " to ".join(map(figures_or_never, middle_values(values))) if values else "–"


def ratios(runs: Sequence[Curve], method: str, other: str, cost: str) -> Iterator[float]:
    """What `other` takes over what `method` takes, at errors that are compared, of each seed."""
    theirs = {run.seed: run for run in runs if run.method == other}
    for own in runs:
        if own.method == method and (beside := theirs.get(own.seed)) is not None:
            mine, others = ((run.errors, run.costs[cost]) for run in (own, beside))
            yield from (ratio.value for ratio in compared(mine, others))


def figures_or_never(value: float | str) -> str:
    """A ratio, or that it is infinite: the other method never gets there. Text stays."""
    if isinstance(value, str):
        return value
    return figures(value) if math.isfinite(value) else NEVER
