"""Inside the optimizer: damping, step, momentum and batch size; and where the time went."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kfac_cli.engine.options.curvature import FIRST_ITERATIONS, FIRST_WITH_EXACT, first_iterations
from kfac_cli.recording.metrics import ITERATION_METRICS
from kfac_cli.recording.values import as_finite
from kfac_cli.report.curves import at_common_iterations, band_line
from kfac_cli.report.figures import COLORS, MAX_LINES, Bar, Figure, Line, Panel, Style, top_of
from kfac_cli.report.groups import Group
from kfac_cli.report.measures import COSTS, SECONDS, Cost, Values
from kfac_cli.report.problem import Problem
from kfac_cli.report.runs import Run

SHOWN = ("lambda", "gamma", "alpha", "mu", "rho", "batch_size")

NOTE = (
    "Medians and bands over the seeds as above. The age of the inverse is the number of iterations "
    f"since it was last refreshed, at k ≤ {FIRST_ITERATIONS} (at k ≤ {FIRST_WITH_EXACT} with "
    "tikhonov=exact_first) and at every T₃-th iteration (section 8); a refresh for a new γ is one "
    "of these, since T₂ is a multiple of T₃. After a step that was not made it is new as well. "
    "It is not known of runs that started from another run."
)

PARTS = (("optimizer", COLORS[0]), ("evaluation", COLORS[4]), ("logging", COLORS[2]))
OTHER_COLOR = "#bbbbbb"


def inside_figure(problem: Problem, looks: Mapping[str, Style], name: str) -> Figure | None:
    """A panel for each quantity that any group has; None if there is none."""
    by_column = {metric.column: metric for metric in ITERATION_METRICS}
    quantities: list[tuple[str, str, str, Callable[[Run], Values | None]]] = [
        (column, by_column[column].title, by_column[column].scale, _column(column))
        for column in SHOWN
    ]
    quantities += [
        ("rejections", "steps rejected or reverted so far", "linear", _rejections),
        ("inverse_age", "age of the inverse", "linear", inverse_age),
    ]
    groups = problem.groups[:MAX_LINES]
    panels = []
    for column, title, scale, values in quantities:
        lines = {
            cost.label: tuple(
                line
                for group in groups
                if (line := _line(problem, group, looks[group.label], cost, values)) is not None
            )
            for cost in COSTS
        }
        if any(lines.values()):
            y_range = None if scale == "log" else range_of(lines[COSTS[0].label])
            panels.append(Panel(column, title, lines, y_log=scale == "log", y_range=y_range))
    if not panels:
        return None
    legend = tuple((group.label, looks[group.label], "") for group in groups)
    axes = tuple(cost.label for cost in COSTS)
    return Figure(name, "Inside the optimizer", tuple(panels), axes, axes[:1], legend, NOTE)


def time_figure(problem: Problem, name: str) -> Figure | None:
    """Where the time of each group went: seconds per run, the mean over its comparable runs."""
    groups = [
        (group, spent)
        for group in problem.groups
        if (spent := _seconds(problem.comparable_runs(group, SECONDS))) is not None
    ][:MAX_LINES]
    if not groups:
        return None
    names = tuple(_bar_name(problem, group) for group, _ in groups)
    bars = [Bar(part, color, tuple(spent[part] for _, spent in groups)) for part, color in PARTS]
    bars.append(Bar("other", OTHER_COLOR, tuple(spent["other"] for _, spent in groups)))
    panel = Panel("time", "seconds per run, mean over the seeds", bars=tuple(bars),
                  bar_names=names, x_label="seconds")  # fmt: skip
    legend = tuple((bar.label, Style(bar.color), "") for bar in bars)
    return Figure(name, "Where the time went", (panel,), legend=legend)


def _bar_name(problem: Problem, group: Group) -> str:
    """The label of the group, with a remark if its seconds are not compared."""
    run = problem.comparable_runs(group, SECONDS)[0]
    marked = problem.machine is not None and not problem.comparable(run, SECONDS)
    return f"{group.label} ({problem.mark_of_seconds(run)})" if marked else group.label


def inverse_age(run: Run) -> Values | None:
    """Iterations since the statistics behind the inverse, by the rule of section 8, or None.

    The rule counts the optimizer's own iterations, of which those of a run that started from
    another one are not known. After a step that was not made the inverse is a new one too.
    """
    without = run.settings.get("optimizer.inverse") == "identity"
    if without or run.settings.get("start_from") is not None:
        return None
    t3, k = run.settings.get("optimizer.t3"), run.metrics.get("iteration")
    if not isinstance(t3, int) or t3 < 1 or k is None:
        return None
    delay = 0
    if run.settings.get("optimizer.refresh") == "background":
        delay = run.settings["optimizer.refresh_delay"]
    settings = run.settings
    first = first_iterations(settings.get("optimizer.tikhonov"), settings.get("optimizer.inverse"))
    last = np.maximum(np.floor((k - delay) / t3) * t3, np.minimum(k, first))
    outcome = run.metrics.get("outcome")
    if outcome is not None and len(k):
        failed = np.append(False, outcome[:-1] != "accepted")
        last = np.maximum(last, np.maximum.accumulate(np.where(failed, k, 0)))
    age: Values = k - last
    return age


def range_of(lines: Sequence[Line]) -> tuple[float, float] | None:
    """The range of the medians and half as much on either side; None if the bands are within."""
    if not lines:
        return None
    low = min(float(line.y.min()) for line in lines)
    high = max(float(line.y.max()) for line in lines)
    margin = 0.5 * (high - low)
    bottom = min(float((line.y if line.low is None else line.low).min()) for line in lines)
    top = top_of(lines)
    if margin == 0 or (bottom >= low - margin and top <= high + margin):
        return None
    return max(bottom, low - margin), min(top, high + margin)


def _column(column: str) -> Callable[[Run], Values | None]:
    return lambda run: run.metrics.get(column)


def _rejections(run: Run) -> Values | None:
    outcome = run.metrics.get("outcome")
    if outcome is None or "lambda" not in run.metrics or np.isnan(run.metrics["lambda"]).all():
        return None
    counted: Values = np.cumsum(outcome != "accepted").astype(float)
    return counted


def _line(
    problem: Problem,
    group: Group,
    style: Style,
    cost: Cost,
    values: Callable[[Run], Values | None],
) -> Line | None:
    runs = problem.comparable_runs(group, cost)
    pairs = [_pair(run, cost, values) for run in runs]
    known = [(run, pair) for run, pair in zip(runs, pairs, strict=True) if pair is not None]
    if not known:
        return None
    x, rows = at_common_iterations(
        [run for run, _ in known], [pair for _, pair in known], "metrics"
    )
    return band_line(group.label, style, x, rows)


def _pair(
    run: Run, cost: Cost, values: Callable[[Run], Values | None]
) -> tuple[Values, Values] | None:
    x, y = run.metrics.get(cost.column), values(run)
    return None if x is None or y is None or not np.isfinite(y).any() else (x, y)


def _seconds(runs: Sequence[Run]) -> dict[str, float] | None:
    """Mean seconds of each part; None if none of the runs recorded them."""
    rows = [parts for run in runs if (parts := _parts(run)) is not None]
    return {part: float(np.mean([row[part] for row in rows])) for part in rows[0]} if rows else None


def _parts(run: Run) -> dict[str, float] | None:
    def seconds(name: str) -> float:
        recorded = as_finite(run.summary.get(name))
        if recorded is not None:
            return recorded
        column = run.metrics.get(name, np.array([]))
        return float(column[-1]) if len(column) else math.nan

    parts = {part: seconds(f"{part}_seconds") for part, _ in PARTS}
    whole = seconds("seconds")
    if not all(math.isfinite(value) for value in [*parts.values(), whole]):
        return None
    return {**parts, "other": max(0.0, whole - sum(parts.values()))}
