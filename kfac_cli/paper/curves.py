"""Curves of the training error of several methods on several problems, drawn and as a table."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from kfac_cli.report.curves import at_common_iterations, band_line
from kfac_cli.report.figures import Figure, Line, Panel, Style, styles
from kfac_cli.report.measures import COSTS, MEASURES, SECONDS, Cost, Values, measured, spent
from kfac_cli.report.runs import Run
from kfac_cli.report.table import Cell, Table, number_cell, text_cell

Runs = Mapping[str, Mapping[str, Sequence[Run]]]
"""The runs of each method, one for each seed, by problem and name of the method."""

COLUMNS = ("train_error", "train_error_average")


def curves_figure(name: str, title: str, runs: Runs, costs: Sequence[Cost]) -> Figure:
    """The error against each of the costs, a panel for each problem, both axes logarithmic.

    The smaller error of the iterate and its average counts, as in the paper; lines and bands are
    those of `kfac-report`.
    """
    labels = list(dict.fromkeys(method for methods in runs.values() for method in methods))
    looks = styles(labels)
    panels = tuple(
        Panel(
            problem,
            f"{problem}, {title}",
            {
                cost.label: tuple(
                    line
                    for method, each in own
                    if (line := _line(method, looks[method], _timed(each, own, cost), cost))
                    is not None
                )
                for cost in costs
            },
            x_log=True,
            y_log=True,
        )
        for problem, own in ((problem, list(methods.items())) for problem, methods in runs.items())
    )
    return Figure(
        name,
        title,
        panels,
        axes=tuple(cost.label for cost in costs),
        legend=tuple((label, looks[label], "") for label in labels),
    )


def curves_table(runs: Runs, keys: tuple[str, str] = ("problem", "method")) -> Table:
    """Every evaluation of every run: costs, and errors of the iterate and its average.

    `keys` name the columns for the keys of `runs`.
    """
    rows = []
    for problem, methods in runs.items():
        for method, each in methods.items():
            for run in each:
                rows += _rows(problem, method, run)
    columns = (*keys, "seed", *(cost.column for cost in COSTS), *COLUMNS)
    return Table("error", "error", columns, tuple(rows))


def _line(label: str, style: Style, runs: Sequence[Run], cost: Cost) -> Line | None:
    """The median over the seeds with a band, at common iterations, as in `kfac-report`.

    Against seconds, of the runs on the machine of most. A run that diverged counts as infinite from
    there on; None without a finite error.
    """
    pairs = [(spent(run, cost), _positive(measured(run, MEASURES[0]))) for run in runs]
    return band_line(label, style, *at_common_iterations(runs, pairs))


def _timed(
    runs: Sequence[Run], methods: Sequence[tuple[str, Sequence[Run]]], cost: Cost
) -> Sequence[Run]:
    """The runs of a method whose cost can be drawn beside that of most runs on the problem."""
    if cost != SECONDS:
        return runs
    keys = [run.environment.key for _, each in methods for run in each]
    known = Counter(key for key in keys if key is not None).most_common(1)
    return [run for run in runs if known and run.environment.key == known[0][0]]


def _positive(errors: Values) -> Values:
    """The errors that a logarithmic axis has; nan for others."""
    values: Values = np.where(errors > 0, errors, math.nan)
    return values


def _rows(problem: str, method: str, run: Run) -> list[tuple[Cell, ...]]:
    count = len(run.evaluations.get("iteration", ()))
    nothing = np.full(count, math.nan)
    columns = [run.evaluations.get(name, nothing) for name in COLUMNS]
    costs = [spent(run, cost) for cost in COSTS]
    return [
        (
            text_cell(problem),
            text_cell(method),
            Cell(run.seed, str(run.seed)),
            *(number_cell(float(values[place])) for values in (*costs, *columns)),
        )
        for place in range(count)
    ]
