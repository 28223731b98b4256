"""The tables of the study: cost by task, and the constants."""

from collections.abc import Iterator, Sequence

from kfac_cli.paper.cost.comparison import Comparison
from kfac_cli.paper.cost.tasks import TASKS
from kfac_cli.report.table import Cell, Table, number_cell, text_cell

COSTS = ("size", "inverse", "task", "name", "predicted_seconds", "measured_seconds", "sgd_seconds")

CONSTANTS = ("size", "inverse", "constant", "of", "seconds_per_unit", "units")

REST, WHOLE = "rest", "whole"
"""Rows besides those of the tasks: what is in no task, and the iteration."""


def costs_table(compared: Sequence[Comparison]) -> Table:
    """A row for each size, inverse and task of section 8, one for the rest, one for the whole."""
    rows = tuple(row for each in compared for row in _cost_rows(each))
    return Table("cost", "cost of an average iteration", COSTS, rows)


def constants_table(compared: Sequence[Comparison]) -> Table:
    """C₁ … C₆ for each size; `units` is what a constant is multiplied by, such as ℓd²m."""
    rows = tuple(row for each in compared for row in _constant_rows(each))
    return Table("constants", "constants of the formula", CONSTANTS, rows)


def _cost_rows(each: Comparison) -> Iterator[tuple[Cell, ...]]:
    predicted, measured = each.predicted, each.measured
    values: dict[str, tuple[str, float, float, float]] = {
        str(task): (TASKS[task], predicted[task], measured.tasks[task], each.sgd.tasks[task])
        for task in TASKS
    }
    values[REST] = ("not in the formula", 0.0, measured.rest, each.sgd.rest)
    whole = sum(predicted.values()), measured.whole, each.sgd.whole
    values[WHOLE] = ("an iteration", *whole)
    for task, (name, *seconds) in values.items():
        yield (
            number_cell(each.cases),
            *map(text_cell, (each.inverse, task, name)),
            *map(number_cell, seconds),
        )


def _constant_rows(each: Comparison) -> Iterator[tuple[Cell, ...]]:
    settings, sizes = each.kfac.settings, each.sizes
    inverse, product = ("C4", "C6") if settings.tridiagonal else ("C3", "C5")
    unit = sizes.squares * each.cases
    named = (
        ("C1", "forward or backward pass", unit),
        ("C2", "gradient", unit),
        (inverse, "new inverse", sizes.cubes_of_factors),
        (product, "products with the inverse", sizes.products(settings)),
    )
    for (name, of, units), value in zip(named, each.constants, strict=True):
        yield (
            number_cell(each.cases),
            *map(text_cell, (each.inverse, name, of)),
            number_cell(value),
            number_cell(units),
        )
