"""A table of the report: what its cells say, and what they sort by."""

import csv
import io
import math
from dataclasses import dataclass
from typing import NamedTuple

from kfac_cli.recording.values import significant


class Cell(NamedTuple):
    """A value, the text that shows it, and a word for its looks: best, poor, quiet or name.

    Cells sort by their values: numbers by size, infinity last, text as text.
    """

    value: float | str | None
    text: str
    look: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells under the names of the columns. `name` is that of its CSV file.

    `brief` are the rows that the page shows, all of them if it is None.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    brief: tuple[tuple[Cell, ...], ...] | None = None

    @property
    def shown(self) -> tuple[tuple[Cell, ...], ...]:
        """The rows that the page shows."""
        return self.rows if self.brief is None else self.brief

    def csv(self) -> str:
        """The values as CSV; missing ones are empty."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.columns)
        for row in self.rows:
            writer.writerow(["" if _missing(cell.value) else cell.value for cell in row])
        return buffer.getvalue()


def text_cell(text: object, look: str = "") -> Cell:
    """A cell of text."""
    return Cell(str(text), str(text), look)


def number_cell(value: float, look: str = "", infinite: str = "–") -> Cell:
    """A cell of a number; a dash for nan."""
    return Cell(value, number(value, infinite), look)


def number(value: float, infinite: str = "–") -> str:
    """A number for people: three digits, or all of a larger whole number; a dash for nan."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return infinite
    if abs(value) >= 1000 and abs(value) < 1e15:
        return f"{value:,.0f}"
    if value == int(value) and abs(value) < 1000:
        return str(int(value))
    return significant(value, 3)


def _missing(value: float | str | None) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
