"""Curves of errors and log-likelihoods: a line for each group, with a band over its seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kfac_cli.report.endings import lost
from kfac_cli.report.figures import (
    MAX_LINES,
    Figure,
    Line,
    Panel,
    Style,
    reference_style,
)
from kfac_cli.report.groups import Group
from kfac_cli.report.measures import COSTS, MEASURES, Cost, Measure, Values, measured, spent
from kfac_cli.report.problem import OTHER_DATA, Problem
from kfac_cli.report.runs import Run

FEW = 5
"""With fewer seeds than this the band is the full range, otherwise from 20 to 80 per cent."""

REFERENCE_SHARE = 3
"""Published curves are drawn up to so many times the longest run."""

NOTE = (
    "The iterate or its Polyak average, whichever has the smaller training error (section 13). A "
    "point is the median over the seeds of error and cost at one evaluation; the band is the full "
    f"range of fewer than {FEW} seeds, and from the 20 to the 80 per cent quantile of more. A run "
    "that diverged counts as infinite from there on, and a line has the points that more than half "
    "of its runs have."
)


@dataclass(frozen=True)
class Reference:
    """A published trajectory on a dataset, or, if that is None, one to be drawn on every dataset.

    `columns` has an array (n,) for each known cost (iteration, cases, optimizer_seconds) and
    measure (train_error, test_error, train_nll, test_nll); a missing one is not drawn.
    `note` says where it comes from and what differs.
    """

    label: str
    dataset: str | None
    columns: Mapping[str, Values]
    note: str = ""

    def belongs_to(self, dataset: str) -> bool:
        """Whether it is drawn with the runs on a dataset."""
        return self.dataset in (None, dataset)


def curves_figure(
    problem: Problem,
    looks: Mapping[str, Style],
    name: str,
    references: Sequence[Reference] = (),
) -> Figure:
    """Training and test error and log-likelihood against iterations, cases and seconds."""
    drawn = problem.groups[:MAX_LINES]
    published = [each for each in references if each.belongs_to(problem.dataset)]
    greys = {each.label: reference_style(place) for place, each in enumerate(published)}
    panels = []
    for measure in MEASURES:
        lines: dict[str, tuple[Line, ...]] = {}
        for cost in COSTS:
            ours = [_line(problem, group, looks[group.label], cost, measure) for group in drawn]
            ends = [line.x[-1] for line in ours if line is not None and len(line.x)]
            theirs = [
                _reference_line(
                    each,
                    greys[each.label],
                    cost,
                    measure.name,
                    REFERENCE_SHARE * max(ends, default=math.inf),
                )
                for each in published
            ]
            lines[cost.label] = tuple(
                line for line in [*ours, *theirs] if line is not None and len(line.x)
            )
        if any(lines.values()):
            shown, y_log = shown_lines(lines)
            panels.append(Panel(measure.name, measure.label, shown, y_log=y_log))
    legend = [(group.label, looks[group.label], _remark(problem, group)) for group in drawn]
    legend += [(each.label, greys[each.label], "published") for each in published]
    note = NOTE
    if len(problem.groups) > MAX_LINES:
        note += f" The {MAX_LINES} groups of {len(problem.groups)} with the smallest errors."
    axes = tuple(cost.label for cost in COSTS)
    return Figure(name, "Curves", tuple(panels), axes, None, tuple(legend), note)


def shown_lines(
    lines: Mapping[str, tuple[Line, ...]],
) -> tuple[dict[str, tuple[Line, ...]], bool]:
    """What is drawn of a panel's lines, and whether its y axis is logarithmic.

    So it is unless a value is below zero, or all are zero; single zeros are left out.
    """
    values = np.concatenate([line.y for each in lines.values() for line in each])
    smallest = values.min(where=values > 0, initial=math.inf)
    if values.min() < 0 or smallest == math.inf:
        return dict(lines), False
    return {cost: _above_zero(each, smallest) for cost, each in lines.items()}, True


def _above_zero(lines: Sequence[Line], smallest: float) -> tuple[Line, ...]:
    """The lines for a logarithmic axis: without zeros, and with bands from `smallest` on."""
    positive = [line.at(line.y > 0) for line in lines if (line.y > 0).any()]
    return tuple(
        line if line.low is None else replace(line, low=np.maximum(line.low, smallest))
        for line in positive
    )


def _line(
    problem: Problem,
    group: Group,
    style: Style,
    cost: Cost,
    measure: Measure,
) -> Line | None:
    runs = problem.comparable_runs(group, cost)
    x, rows = at_common_iterations(
        runs, [(spent(run, cost), measured(run, measure)) for run in runs]
    )
    return band_line(group.label, style, x, rows)


def at_common_iterations(
    runs: Sequence[Run], pairs: Sequence[tuple[Values, Values]], table: str = "evaluations"
) -> tuple[Values, Values]:
    """Costs (iterations,) and values (runs, iterations) at every iteration that any run has.

    The costs are medians. A value is nan where a run has none, infinite after it diverged.
    """
    steps = [getattr(run, table).get("iteration", np.array([])) for run in runs]
    grid = np.unique(np.concatenate(steps)) if steps else np.array([])
    costs, values = np.full((2, len(runs), len(grid)), math.nan)
    for row, (run, own, (cost, value)) in enumerate(zip(runs, steps, pairs, strict=True)):
        place = np.searchsorted(grid, own)
        costs[row, place], values[row, place] = cost, value
        if table == "evaluations" and lost(run):
            values[row, np.isnan(values[row]) & (grid > own.max(initial=0))] = math.inf
            values[row, place[np.isnan(value)]] = math.inf
    with np.errstate(all="ignore"):
        middle = _quantile(costs, 0.5)
    return middle, values


def band_line(label: str, style: Style, x: Values, rows: Values) -> Line | None:
    """Median and band of `rows` (runs, n) as a thinned line; None if nothing of it is finite.

    Only where more than half of the runs have a value, so that no run alone draws it, and where x
    does not go back, as the median of the costs of fewer runs may.
    """
    count = len(rows)
    present = ~np.isnan(rows)
    kept = (2 * present.sum(axis=0) > count) & np.isfinite(x)
    before = np.maximum.accumulate(np.where(kept, x, -math.inf))
    kept[1:] &= x[1:] >= before[:-1]
    rows, x = rows[:, kept], x[kept]
    middle = _quantile(rows, 0.5)
    finite = np.isfinite(middle)
    if not finite.any():
        return None
    low = high = None
    if count > 1:
        low, high = (_quantile(rows, share)[finite] for share in band_of(count))
    return Line(label, style, x[finite], middle[finite], low, high).thinned()


def band_of(count: int) -> tuple[float, float]:
    """The quantiles between which the band of so many runs lies."""
    return (0.0, 1.0) if count < FEW else (0.2, 0.8)


def _quantile(rows: Values, share: float) -> Values:
    """A quantile of each column without its nans; with infinite values, without interpolation."""
    ordered = np.sort(rows, axis=0)  # nan last
    counts = (~np.isnan(rows)).sum(axis=0)
    place = share * np.maximum(counts - 1, 0)
    below, above = np.floor(place).astype(int), np.ceil(place).astype(int)
    columns = np.arange(rows.shape[1])
    low, high = ordered[below, columns], ordered[above, columns]
    with np.errstate(invalid="ignore"):
        between: Values = np.where(np.isinf(high), high, low + (place - below) * (high - low))
    return between


def _reference_line(
    reference: Reference, style: Style, cost: Cost, measure: str, end: float
) -> Line | None:
    x, y = reference.columns.get(cost.column), reference.columns.get(measure)
    if x is None or y is None:
        return None
    good = np.isfinite(x) & np.isfinite(y) & (x <= end)
    return Line(reference.label, style, x[good], y[good], kind="reference").thinned()


def _remark(problem: Problem, group: Group) -> str:
    count = len(group.runs)
    seeds = "one seed" if count == 1 else f"{count} seeds, "
    if count > 1:
        seeds += "full range" if count < FEW else "20 to 80 %"
    marks = [OTHER_DATA] * problem.on_other_data(group)
    if not any(problem.comparable(run, COSTS[2]) for run in group.runs):
        marks.append(problem.mark_of_seconds(group.runs[0]))
    ended = [run.status for run in group.runs if run.status not in ("finished", "target reached")]
    counted = [f"{ended.count(status)} {status}" for status in dict.fromkeys(ended)]
    return "; ".join([seeds, *marks, *counted])
