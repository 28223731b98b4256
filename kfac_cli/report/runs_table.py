"""Every run: the settings that differ, how it ended, its best errors."""

from collections.abc import Sequence

from kfac_cli.recording.summary import DIVERGED, FAILED, FINISHED, TARGET_REACHED
from kfac_cli.report.compared import setting_text, short_names
from kfac_cli.report.groups import Group, differing_settings, telling_settings
from kfac_cli.report.measures import CASES, SECONDS, best_error, best_test_error, total
from kfac_cli.report.problem import Problem
from kfac_cli.report.runs import Run
from kfac_cli.report.table import Cell, Table, number_cell, shortened, text_cell
from kfac_cli.report.time_table import group_cell

MAX_SETTINGS = 12

MAX_VALUE = 60
"""Characters of a setting on the page."""

MEASURED = (
    "run", "group", "seed", "ended", "iterations", "training error", "test error", "cases",
    "seconds",
)  # fmt: skip
OTHERS = ("machine", "remark")

NOTE = (
    "The smaller training error of the iterate and its Polyak average counts (section 13), and the "
    "test error of the same parameters. Seconds are those of the optimizer's steps. Every setting "
    "that differs is in tables/settings.csv."
)


def runs_table(problems: Sequence[Problem], groups: Sequence[Group], name: str) -> Table:
    """A row for each run, with the settings in which groups differ.

    Those that follow from the optimizer's name are left to `settings_table`; a column that says
    nothing, of machines that are all the same or of no remarks, is left out.
    """
    names = telling_settings(groups)[:MAX_SETTINGS]
    short = short_names(names)
    columns = (*MEASURED, *map(_setting_column, (short[each] for each in names)), *OTHERS)
    rows = []
    for problem in problems:
        for group in problem.groups:
            rows += [_row(problem, group, run, names) for run in group.runs]
    machine, remark = ({row[place].text for row in rows} for place in (-2, -1))
    says_nothing = {"machine": len(machine) < 2, "remark": not any(remark)}
    kept = [p for p, column in enumerate(columns) if not says_nothing.get(column, False)]
    return Table(
        name,
        "Runs and the settings that differ",
        tuple(columns[place] for place in kept),
        tuple(tuple(row[place] for place in kept) for row in rows),
        NOTE,
    )


def _setting_column(name: str) -> str:
    """The name of a setting's column, which no other one has."""
    return f"{name} (setting)" if name in (*MEASURED, *OTHERS) else name


def settings_table(groups: Sequence[Group], name: str) -> Table:
    """Every setting that is not the same in all groups, for the CSV."""
    names = differing_settings(groups)
    rows = tuple(
        (
            group_cell(group.label),
            *(text_cell(setting_text(group.settings, each)) for each in names),
        )
        for group in groups
    )
    return Table(name, "Settings that differ", ("group", *names), rows)


def ending(run: Run) -> Cell:
    """How a run ended, and why if it did not end as planned."""
    reason = "" if run.reason is None else f": {run.reason}"
    if run.status in (FINISHED, TARGET_REACHED):
        return text_cell(run.status)
    return text_cell(f"{run.status}{reason}", "poor" if run.status in (DIVERGED, FAILED) else "odd")


def _row(problem: Problem, group: Group, run: Run, names: Sequence[str]) -> tuple[Cell, ...]:
    return (
        text_cell(run.name),
        group_cell(group.label),
        Cell(run.seed, "–" if run.seed is None else str(run.seed)),
        ending(run),
        number_cell(run.iterations),
        number_cell(best_error(run), infinite="none"),
        number_cell(best_test_error(run)),
        number_cell(total(run, CASES)),
        number_cell(total(run, SECONDS)),
        *(_setting(run, each) for each in names),
        text_cell(run.environment),
        text_cell(", ".join(problem.marks(run))),
    )


def _setting(run: Run, name: str) -> Cell:
    value = run.settings.get(name)
    text = setting_text(run.settings, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Cell(text, shortened(text, MAX_VALUE))
    return Cell(value, f"{value:.4g}" if isinstance(value, float) else text)
