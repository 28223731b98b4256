"""Rank the groups by their times to several targets, as AlgoPerf does, and how far that holds."""

import math
from collections.abc import Callable, Container, Mapping, Sequence

import numpy as np

from kfac_cli.report.endings import ended_earlier, slowest_hits
from kfac_cli.report.groups import Group
from kfac_cli.report.measures import ITERATIONS, SECONDS, Cost
from kfac_cli.report.problem import Problem, median, place_of, typical_error
from kfac_cli.report.table import Cell, Table, number, number_cell
from kfac_cli.report.time_table import group_cell

LARGEST_RATIO = 4.0
"""A time that is this many times the shortest, or longer, scores nothing."""

BUDGETS = (0.25, 0.5, 1.0)
"""Shares of the iterations of the longest run."""

RULE = (
    "The rule is AlgoPerf's (Dahl et al. 2023): the time of a group to a target is the median "
    "over its seeds, a miss being infinite; r is the ratio to the shortest time of all groups; the "
    "score is the area under the share of the targets that a group reaches within r times the "
    f"shortest time, r from 1 to {LARGEST_RATIO:g}, divided by the largest possible area. 1 is the "
    "fastest to every target, 0 reaches none in time. AlgoPerf takes many workloads; here they are "
    "the targets of the first table. ≥ marks a group that missed a target because its runs were "
    "stopped, or ended before the slowest run that reached it."
)

SENSITIVITY = (
    "The rank by iterations to each target if runs had ended earlier: after a quarter, half or all "
    "of the iterations of the longest run; a dash where a group does not get there. A ranking that "
    "changes from column to column depends on the choice of target and budget."
)


def scores(problem: Problem, targets: Sequence[float], cost: Cost) -> dict[str, float]:
    """The score of each group that can be ranked, by label, from 0 to 1."""
    groups = [group for group in problem.ranked if problem.is_ranked(group, cost)]
    total = dict.fromkeys((group.label for group in groups), 0.0)
    for target in targets:
        times = _medians(problem, groups, target, cost)
        shortest = min(times.values(), default=math.inf)
        for label, time in times.items():
            if math.isfinite(time):
                ratio = time / shortest if shortest > 0 else 1.0
                total[label] += max(0.0, (LARGEST_RATIO - ratio) / (LARGEST_RATIO - 1))
    return {label: value / len(targets) for label, value in total.items()} if targets else {}


def score_table(problem: Problem, targets: Sequence[float], name: str) -> Table:
    """The groups by their scores in iterations; also in seconds where they are comparable."""
    by_iterations = scores(problem, targets, ITERATIONS)
    by_seconds = scores(problem, targets, SECONDS)
    early = {cost: _ended_earlier(problem, targets, cost) for cost in (ITERATIONS, SECONDS)}
    ordered = sorted(
        problem.ranked,
        key=lambda group: (-by_iterations.get(group.label, 0), place_of(group)),
    )
    rows = []
    for rank, group in enumerate(ordered, start=1):
        rows.append(
            (
                Cell(rank, str(rank)),
                group_cell(group.label),
                _score_cell(by_iterations, group, early[ITERATIONS]),
                _score_cell(by_seconds, group, early[SECONDS]),
                number_cell(typical_error(group), infinite="none"),
                Cell(len(group.runs), str(len(group.runs))),
            )
        )
    columns = (
        "rank",
        "group",
        "score by iterations",
        "score by seconds",
        "best training error, median",
        "seeds",
    )
    return Table(name, "Ranking", columns, tuple(rows), RULE)


def sensitivity_table(problem: Problem, targets: Sequence[float], name: str) -> Table:
    """The rank of each group for each target and budget."""
    longest = max((run.iterations for run in problem.runs), default=0)
    columns = ["group"]
    ranks: list[Callable[[Group], Cell]] = []
    for target in targets:
        for share in BUDGETS:
            budget = math.ceil(share * longest)
            times = _medians(problem, problem.ranked, target, ITERATIONS, budget)
            columns.append(f"{target:g} in {number(budget)}")
            ranks.append(_ranked(times))
    rows = tuple(
        (group_cell(group.label), *(rank(group) for rank in ranks)) for group in problem.ranked
    )
    return Table(name, "Sensitivity of the ranking", tuple(columns), rows, SENSITIVITY)


def _medians(
    problem: Problem,
    groups: Sequence[Group],
    target: float,
    cost: Cost,
    budget: float = math.inf,
) -> dict[str, float]:
    times = {group.label: median(problem.times(group, target, cost, budget)) for group in groups}
    return {label: math.inf if math.isnan(time) else time for label, time in times.items()}


def _ranked(times: Mapping[str, float]) -> Callable[[Group], Cell]:
    """A cell with the rank of a group; equal times share the better rank."""
    finite = np.sort([time for time in times.values() if math.isfinite(time)])

    def cell(group: Group) -> Cell:
        time = times[group.label]
        if not math.isfinite(time):
            return Cell(math.inf, "–", "quiet")
        rank = int(np.searchsorted(finite, time)) + 1
        return Cell(rank, str(rank), "best" if rank == 1 else "")

    return cell


def _ended_earlier(problem: Problem, targets: Sequence[float], cost: Cost) -> set[str]:
    """The labels of the groups that longer runs could have given a higher score."""
    early = set()
    for target in targets:
        slowest = slowest_hits(problem, problem.ranked, target)
        early |= {
            group.label
            for group in problem.ranked
            if math.isinf(median(problem.times(group, target, cost)))
            and ended_earlier(problem, group, target, cost, slowest)
        }
    return early


def _score_cell(values: Mapping[str, float], group: Group, early: Container[str]) -> Cell:
    if group.label not in values:
        return Cell(math.nan, "not comparable", "quiet", "not comparable")
    value = values[group.label]
    least = group.label in early
    look = "best" if value == max(values.values()) > 0 else ""
    return Cell(value, f"{'≥ ' * least}{value:.2f}", look, "at least" * least)
