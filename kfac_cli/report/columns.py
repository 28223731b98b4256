"""A table of a run as arrays, whatever columns its version had."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kfac_cli.files import open_file
from kfac_cli.recording.metrics import WORDS

Columns = Mapping[str, NDArray[Any]]
"""Name to values (n,): float64 with nan for an empty cell, or words."""


def read_columns(path: Path) -> tuple[Columns, str | None]:
    """The columns of a CSV file, and what is wrong with it.

    Rows from the first damaged one on are dropped; an incomplete last line, which a killed process
    leaves, is no complaint. A file that does not exist has no columns. Raises OSError if it cannot
    be read.
    """
    try:
        with open_file(path) as file:
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return {}, None
    lines = text.split("\n")[:-1]
    try:
        names, *rows = csv.reader(lines) if lines else [[]]
    except csv.Error as error:
        return {}, f"is damaged: {error}"
    if not lines:
        return {}, None
    if "iteration" not in names or len(set(names)) != len(names):
        return {}, "is not a table of kfac-run: it has no column iteration"
    end = next((i for i, row in enumerate(rows) if len(row) != len(names)), len(rows))
    columns: dict[str, NDArray[Any]] = {}
    for index, name in enumerate(names):
        cells = [row[index] for row in rows[:end]]
        if name in WORDS:
            columns[name] = np.array(cells, dtype=object)
        else:
            columns[name], good = _numbers(cells)
            end = min(end, good)
    end = min(end, _increasing(columns["iteration"][:end]))
    complaint = None
    if end < len(rows):
        complaint = f"line {end + 2} is damaged; the rows before it are used"
    return {name: values[:end] for name, values in columns.items()}, complaint


def _numbers(cells: Sequence[str]) -> tuple[NDArray[np.float64], int]:
    """The cells as numbers, and how many are before the first that is none."""
    try:
        return np.array([float(cell) if cell else math.nan for cell in cells]), len(cells)
    except ValueError:
        values = np.full(len(cells), math.nan)
        for place, cell in enumerate(cells):
            try:
                values[place] = float(cell) if cell else math.nan
            except ValueError:
                return values, place
        return values, len(cells)


def _increasing(values: NDArray[np.float64]) -> int:
    """How many of the values increase."""
    if not len(values) or math.isnan(values[0]):
        return 0
    falls = np.flatnonzero(~(np.diff(values) > 0))
    return int(falls[0]) + 1 if len(falls) else len(values)
