"""A table of the report: what its cells say, and what they sort by."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kfac_cli.recording.values import significant


class Cell(NamedTuple):
    """A value, the text that shows it, and a word for its looks: best, poor, odd, quiet or name.

    Cells sort by their values: numbers by size, infinity last, text as text. For the CSV, `remark`
    is what the text says and the value does not, and `ends` are the smallest and the largest of
    the values that this one is the median of.
    """

    value: float | str | None
    text: str
    look: str = ""
    remark: str = ""
    ends: tuple[float, float] | None = None


@dataclass(frozen=True)
class Table:
    """Rows of cells under the names of the columns. `name` is that of its CSV file.

    `brief` are the rows that the page shows, all of them if it is None. `csv_text` means that the
    CSV has the texts, where the values only sort.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    brief: tuple[tuple[Cell, ...], ...] | None = None
    csv_text: bool = False

    @property
    def shown(self) -> tuple[tuple[Cell, ...], ...]:
        """The rows that the page shows."""
        return self.rows if self.brief is None else self.brief

    def csv(self) -> str:
        """The values as CSV, missing ones empty.

        After the columns come the ends of the ranges of those that are medians, and then remarks,
        where there are any.
        """
        remarks = [self._remarks(row) for row in self.rows]
        ranges = [p for p in range(len(self.columns)) if any(row[p].ends for row in self.rows)]
        ends = [f"{self.columns[place]} {end}" for place in ranges for end in ("min", "max")]
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow([*self.columns, *ends, *["remark"] * any(remarks)])
        for row, remark in zip(self.rows, remarks, strict=True):
            known = [end for place in ranges for end in row[place].ends or ("", "")]
            writer.writerow([*map(self._entry, row), *known, *[remark] * any(remarks)])
        return buffer.getvalue()

    def _entry(self, cell: Cell) -> float | str | None:
        if self.csv_text:
            return cell.text.replace("\u00a0", " ")
        return "" if _missing(cell.value) else cell.value

    def _remarks(self, row: Sequence[Cell]) -> str:
        pairs = zip(self.columns, row, strict=True)
        return "; ".join(f"{column}: {cell.remark}" for column, cell in pairs if cell.remark)


def text_cell(text: object, look: str = "") -> Cell:
    """A cell of text."""
    return Cell(str(text), str(text), look)


def number_cell(value: float, infinite: str = "–") -> Cell:
    """A cell of a number; a dash for nan."""
    return Cell(value, number(value, infinite))


def number(value: float, infinite: str = "–") -> str:
    """A number for people: three digits, or all of a larger whole number; a dash for nan."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return infinite
    if 999.5 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    if value == int(value) and abs(value) < 999.5:
        return str(int(value))
    return significant(value, 3)


def shortened(text: str, length: int = 28) -> str:
    """The text with its middle left out if it is long."""
    return text if len(text) <= length else f"{text[: length - 10]}…{text[-9:]}"


def _missing(value: float | str | None) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
