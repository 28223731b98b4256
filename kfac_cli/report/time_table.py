"""Time to target: iterations, cases and optimizer seconds of each group."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from kfac_cli.errors import counted
from kfac_cli.report.endings import ENDED_EARLIER, end_of, ended_earlier, slowest_hits
from kfac_cli.report.figures import MAX_LINES
from kfac_cli.report.groups import Group
from kfac_cli.report.measures import COSTS, ITERATIONS, SECONDS, Cost, Values
from kfac_cli.report.problem import OTHER_DATA, Problem, median
from kfac_cli.report.table import Cell, Table, number, text_cell

NOT_REACHED = "not reached"

NOTE = (
    "The first evaluation with a training error of at most the target counts. Median over the "
    "seeds and, in parentheses, the whole range; a run that does not get there counts as infinite, "
    f'and "{ENDED_EARLIER}" says that it was stopped, or ended before the slowest run that '
    "got there; n is the number of runs where the seconds of some are not comparable. The smallest "
    "median for each target is bold."
)


def time_table(problem: Problem, targets: Sequence[float], name: str) -> Table:
    """A row for each target and group: how many runs reached it, and what that cost."""
    rows, brief = [], []
    for target in targets:
        groups = sorted(
            problem.groups,
            key=lambda group: (
                problem.on_other_data(group),
                _finite_first(median(problem.times(group, target, ITERATIONS))),
                group.label,
            ),
        )
        best = {cost: _best(problem, groups, target, cost) for cost in COSTS}
        slowest = slowest_hits(problem, problem.ranked, target)
        for place, group in enumerate(groups):
            row = _row(problem, group, target, best, slowest)
            rows.append(row)
            if place < MAX_LINES:
                brief.append(row)
    columns = ("target", "group", "reached", *(cost.label for cost in COSTS))
    title = "Time to target"
    note = NOTE
    if len(brief) < len(rows):
        note += f" The {MAX_LINES} fastest groups for each target; tables/{name}.csv has all."
    return Table(name, title, columns, tuple(rows), note, tuple(brief))


def _row(
    problem: Problem,
    group: Group,
    target: float,
    best: Mapping[Cost, float],
    slowest: Mapping[Cost, float],
) -> tuple[Cell, ...]:
    times = problem.times(group, target, ITERATIONS)
    hits, count = int(np.isfinite(times).sum()), len(times)
    mark = OTHER_DATA if problem.on_other_data(group) else ""
    return (
        Cell(target, f"{target:g}"),
        Cell(group.label, group.label + _marked(mark), "name", mark),
        Cell(hits / count, f"{hits} of {count}", "" if hits == count else "poor"),
        *(_cost_cell(problem, group, target, cost, best[cost], slowest) for cost in COSTS),
    )


def range_text(times: Values) -> str:
    """Median and range, (30–40); without the range for a single value."""
    known = times[~np.isnan(times)]
    middle = median(known)
    text = number(middle, NOT_REACHED)
    if len(known) > 1 and known.min() != known.max():
        text += f" ({number(float(known.min()))}–{number(float(known.max()), NOT_REACHED)})"
    return text


def _cost_cell(
    problem: Problem,
    group: Group,
    target: float,
    cost: Cost,
    best: float,
    slowest: Mapping[Cost, float],
) -> Cell:
    times = problem.times(group, target, cost)
    middle = median(times)
    ranked = problem.is_ranked(group, cost)
    marks = []
    if ended_earlier(problem, group, target, cost, slowest):
        marks.append(ENDED_EARLIER)
    known = times[~np.isnan(times)]
    if len(known) < len(group.runs):
        marks.append(f"n = {len(known)}")
    if not ranked and cost == SECONDS and math.isfinite(middle):
        marks.append(problem.mark_of_seconds(group.runs[0]))
    look = "quiet" if not ranked or math.isinf(middle) else ""
    if ranked and middle == best and math.isfinite(best):
        look = "best"
    ends = (float(known.min()), float(known.max())) if len(known) else None
    return Cell(middle, range_text(times) + _marked(*marks), look, ", ".join(marks), ends)


def _marked(*marks: str) -> str:
    """What follows a text that has these marks, of which empty ones are left out."""
    return "".join(f" ({mark})" for mark in marks if mark)


def _best(problem: Problem, groups: Sequence[Group], target: float, cost: Cost) -> float:
    medians = [
        median(problem.times(group, target, cost))
        for group in groups
        if problem.is_ranked(group, cost)
    ]
    return min((value for value in medians if not math.isnan(value)), default=math.inf)


def _finite_first(value: float) -> float:
    return math.inf if math.isnan(value) else value


def headline(problem: Problem, target: float | None) -> str:
    """One sentence: which group reached the target first, and which ended too early to say."""
    if target is None:
        return "No run has a finite training error."
    medians = {
        group.label: median(problem.times(group, target, ITERATIONS)) for group in problem.ranked
    }
    reached = sorted((value, label) for label, value in medians.items() if math.isfinite(value))
    if not reached:
        return f"No group reached a training error of {target:g} in the median."
    first, label = reached[0]
    text = f"{label} reached a training error of {target:g} after {number(first)} iterations"
    if len(reached) > 1:
        second, other = reached[1]
        text += f", {other} after {number(second)}"
    missed = [group for group in problem.ranked if not math.isfinite(medians[group.label])]
    if early := _ended_before(problem, missed, target):
        text += f"; {early}"
    elif len(reached) == 1 and missed:
        text += ", the only group that reached it in the median"
    return f"{text}."


def _ended_before(problem: Problem, groups: Sequence[Group], target: float) -> str:
    """Which of the groups ended before others reached the target; empty if none did."""
    slowest = slowest_hits(problem, problem.ranked, target)
    ends = {
        group.label: median(end_of(run, ITERATIONS) for run in group.runs)
        for group in groups
        if ended_earlier(problem, group, target, ITERATIONS, slowest)
    }
    early = [label for label, end in ends.items() if end < slowest[ITERATIONS]]
    if not early:
        return ""
    others = f", and {counted(len(early) - 1, 'other group')}" if len(early) > 1 else ""
    return f"{early[0]} {ENDED_EARLIER}, after {number(ends[early[0]])}{others}"


def group_cell(label: str) -> Cell:
    """The cell of a group's name."""
    return text_cell(label, "name")
