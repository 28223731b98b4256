"""How fairly each optimizer was tuned: how many settings were tried, and at what cost."""

import math
from collections.abc import Sequence

import numpy as np

from kfac_cli.report.compared import setting_text
from kfac_cli.report.figures import COLORS, Figure, Line, Panel, Style
from kfac_cli.report.groups import Group, differing_settings
from kfac_cli.report.measures import CASES, ITERATIONS, SECONDS, Cost, best_error, total
from kfac_cli.report.problem import Problem, place_of, typical_error
from kfac_cli.report.runs import Run
from kfac_cli.report.table import Cell, Table, number_cell, text_cell

MAX_PANELS = 12

UNSEARCHED = ("optimizer.name", "processes")
"""What may differ among the groups of one optimizer and is no choice of its settings."""

WIDE = 8
"""A setting whose largest value is so many times the smallest is drawn on a logarithmic axis."""

NOTE = (
    "A trial is one choice of settings, with however many seeds. An optimizer that was given more "
    "trials, or a larger budget, had the better chance to look good. Seconds are those of the runs "
    "that are compared by them; n is the number of runs that count if not all do."
)


def by_optimizer(problem: Problem) -> dict[str, list[Group]]:
    """The groups of each optimizer, by its name."""
    members: dict[str, list[Group]] = {}
    for group in problem.groups:
        members.setdefault(group.runs[0].optimizer, []).append(group)
    return members


def searched_settings(groups: Sequence[Group]) -> list[str]:
    """The settings of one optimizer that were varied."""
    return [name for name in differing_settings(groups) if name not in UNSEARCHED]


def tuning_table(problem: Problem, name: str) -> Table:
    """A row for each optimizer: trials, runs, what they cost altogether, and what was searched."""
    rows = []
    for optimizer, groups in by_optimizer(problem).items():
        runs = [run for group in groups for run in group.runs]
        best = min(groups, key=place_of)
        searched = searched_settings(groups)
        chosen = ", ".join(f"{each}={setting_text(best.settings, each)}" for each in searched)
        rows.append(
            (
                text_cell(optimizer),
                Cell(len(groups), str(len(groups))),
                Cell(len(runs), str(len(runs))),
                *(_sum(problem, runs, cost) for cost in (ITERATIONS, CASES, SECONDS)),
                text_cell(", ".join(searched) or "nothing"),
                number_cell(typical_error(best), infinite="none"),
                text_cell(chosen or "–"),
            )
        )
    columns = (
        "optimizer", "trials", "runs", "iterations", "cases", "seconds", "searched",
        "best error, median", "with",
    )  # fmt: skip
    return Table(name, "Tuning", columns, tuple(rows), NOTE)


def _sum(problem: Problem, runs: Sequence[Run], cost: Cost) -> Cell:
    """The cost of the comparable runs, those without a record not counted; a dash for none."""
    costs = [total(run, cost) for run in runs if problem.comparable(run, cost)]
    known = [value for value in costs if not math.isnan(value)]
    cell = number_cell(sum(known) if known else math.nan)
    if len(known) in (0, len(runs)):
        return cell
    remark = f"n = {len(known)}"
    return cell._replace(text=f"{cell.text} ({remark})", remark=remark)


def tuning_figure(problem: Problem, name: str) -> Figure | None:
    """The best error of each run against each searched setting of each optimizer."""
    panels = []
    for optimizer, groups in by_optimizer(problem).items():
        for setting in searched_settings(groups):
            panel = _panel(optimizer, groups, setting)
            if panel is not None:
                panels.append(panel)
    if not panels:
        return None
    return Figure(name, "Error against each searched setting", tuple(panels[:MAX_PANELS]))


def _panel(optimizer: str, groups: Sequence[Group], setting: str) -> Panel | None:
    """A point for each run; other settings may differ among them too."""
    x, y = [], []
    for group in groups:
        value = group.settings.get(setting)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        for run in group.runs:
            if math.isfinite(error := best_error(run)):
                x.append(float(value))
                y.append(error)
    if not x:
        return None
    line = Line(optimizer, Style(COLORS[0]), np.array(x), np.array(y), kind="points")
    wide = min(x) > 0 and max(x) / min(x) >= WIDE
    return Panel(
        f"{optimizer}-{setting}",
        optimizer,
        {setting: (line,)},
        x_log=wide,
        y_log=min(y) > 0,
        x_label=setting,
    )
