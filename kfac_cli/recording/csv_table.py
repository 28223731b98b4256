"""CSV tables that are appended to row by row and can be resumed after a crash."""

import contextlib
import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from kfac_cli.files import naming, open_for_appending, replace_text
from kfac_cli.recording.metrics import WORDS
from kfac_cli.recording.values import Row, as_number


class Table:
    """A CSV file with a fixed header, complete on disk up to the last row appended.

    The first of `columns` must be "iteration". With `keep_until`, an existing file is continued:
    rows after this iteration and a truncated last line are dropped; otherwise it is replaced.
    Raises ValueError if an existing file has another header or a damaged row, OSError if it cannot
    be read or written.
    """

    def __init__(
        self, path: str | Path, columns: Iterable[str], keep_until: int | None = None
    ) -> None:
        self.path = Path(path)
        self.columns = tuple(columns)
        if keep_until is not None and self.path.exists():
            text = _header(self.columns) + _kept_rows(self.path, self.columns, keep_until)
        else:
            text = _header(self.columns)
        replace_text(self.path, text)
        self._file = open_for_appending(self.path)

    def append(self, row: Row) -> None:
        """Write one row and flush it; a column that is absent or None stays empty.

        Floats are written so that they are read back exactly. Raises ValueError for a name that is
        no column and a value that is not the column's, OSError, naming the file, if the row cannot
        be written.
        """
        unknown = [name for name in row if name not in self.columns]
        if unknown:
            raise ValueError(f"{self.path.name} has no column {', '.join(map(repr, unknown))}")
        self._write(_line(_cell(name, row.get(name)) for name in self.columns))

    def sync(self) -> None:
        """Flush all rows to the disk; raises OSError if that fails."""
        with naming(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; may be repeated."""
        self._file.close()

    def _write(self, line: str) -> None:
        """Write and flush; close the table if that fails."""
        with naming(self.path):
            try:
                self._file.write(line)
                self._file.flush()
            except OSError:
                with contextlib.suppress(OSError):  # closing retries the flush
                    self._file.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_table(path: str | Path) -> list[dict[str, Any]]:
    """Read a table's rows: whole numbers as int, others as float, words as str, nothing as None.

    Raises ValueError for any other cell, OSError if the file cannot be read.
    """
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [{name: _parsed(name, cell) for name, cell in row.items()} for row in rows]


def _line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def _header(columns: tuple[str, ...]) -> str:
    return _line(columns)


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if name in WORDS:
        if value not in WORDS[name]:
            raise ValueError(f"the column {name} holds {', '.join(WORDS[name])}, not {value!r}")
        return str(value)
    if isinstance(value, int):
        return str(int(value))
    number = as_number(value)
    if number is None:
        raise ValueError(f"a table holds numbers, not {value!r}")
    return repr(number)


def _parsed(name: str, cell: str) -> int | float | str | None:
    if not cell:
        return None
    if name in WORDS:
        if cell not in WORDS[name]:
            raise ValueError(f"the column {name} does not hold {cell!r}")
        return cell
    try:
        return int(cell)
    except ValueError:
        return float(cell)


def _kept_rows(path: Path, columns: tuple[str, ...], keep_until: int) -> str:
    """The text of an existing table's rows up to an iteration."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        del lines[-1]  # the process was killed while writing it
    if lines and lines[0] != _header(columns):
        raise ValueError(f"{path} has the header {lines[0].strip()!r}, not {','.join(columns)!r}")
    kept = []
    latest = -1
    for number, line in enumerate(lines[1:], start=2):
        if latest >= keep_until:
            break  # all that follows is written again
        cells = line.rstrip("\n").split(",")
        if len(cells) != len(columns) or not all(map(_is_allowed, columns, cells)):
            raise ValueError(f"{path}, line {number} is damaged: {line.strip()!r}")
        iteration = _parsed(columns[0], cells[0])
        if not isinstance(iteration, int) or iteration <= latest:
            raise ValueError(f"{path}, line {number} is damaged: it has no later iteration")
        latest = iteration
        if iteration <= keep_until:
            kept.append(line)
    return "".join(kept)


def _is_allowed(name: str, cell: str) -> bool:
    try:
        _parsed(name, cell)
    except ValueError:
        return False
    return True
