"""Training curves that others published, and curves of one's own in the same form.

`published/` has a CSV file for each curve and `index.yaml`, which says where it comes from and in
what it differs from runs of this program. The columns are those of `evaluations.csv`, as far as
they were published, with `iteration` first.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from kfac_cli.errors import UserError, shown
from kfac_cli.recording.metrics import EVALUATION_COLUMNS
from kfac_cli.report.arguments import with_home
from kfac_cli.report.curves import Reference
from kfac_cli.report.measures import MEASURES, better

COSTS = ("iteration", "cases")
"""Columns that are drawn against whenever they are there."""

NOT_DRAWN = ("train_error_best",)
"""Columns of evaluations.csv that a curve of one's own may have too, to no effect."""

COLUMNS = tuple(name for name in EVALUATION_COLUMNS if name not in NOT_DRAWN)
"""Those that a curve may have, as evaluations.csv."""

_PUBLISHED = files("kfac_cli.report").joinpath("published")


@dataclass(frozen=True)
class ReferenceCurve:
    """A training curve to lay under one's own.

    Attributes:
        name: the name by which it is asked for, or the name of its file.
        dataset: the problem that it belongs to; None for a file of one's own.
        method: the optimizer, as its authors call it.
        settings: mini-batch size, learning rate and damping, as far as they are known.
        source: authors and year.
        where: the place of publication.
        differs: in what the experiment differs from a run of this program.
        values: for each column that it has, its values; `seconds`, and `optimizer_seconds`, which
            count without evaluations, are those of its own machine.
    """

    name: str
    dataset: str | None
    method: str
    settings: str
    source: str
    where: str
    differs: str
    values: dict[str, np.ndarray]

    @property
    def label(self) -> str:
        """What a legend says; no two published curves are called alike."""
        if not self.source:
            return self.method
        size = re.search(r"_m(\d+)", self.name)
        cases = f", m = {int(size[1]):,}" if size else ""
        return f"{self.method} ({self.source}{cases})"

    @property
    def note(self) -> str:
        """Where it comes from, how it was made, and in what it differs."""
        parts = [self.settings, self.where]
        parts += [f"what differs: {self.differs}"] if self.differs else []
        return "; ".join(part for part in parts if part)

    def drawn(self, seconds: bool = False) -> Reference:
        """The curve for the figures; against seconds, which are not ours, only if asked for.

        As of a run, the iterate or the average counts, whichever has the smaller training error.
        """
        columns: dict[str, np.ndarray] = {
            name: self.values[name] for name in COSTS if name in self.values
        }
        for measure in MEASURES:
            if {measure.column, f"{measure.column}_average"} & set(self.values):
                columns[measure.name] = measure.sign * better(self.values, measure.column)
        for column in ("optimizer_seconds", "seconds"):
            if seconds and column in self.values:
                columns.setdefault("optimizer_seconds", self.values[column])
        return Reference(self.label, self.dataset, columns, self.note)


def published_names() -> tuple[str, ...]:
    """Return the names of the published curves, in alphabetical order."""
    return tuple(sorted(_index()["curves"]))


def listing() -> str:
    """Every published curve with its method, settings and source, one under the other."""
    lines = []
    for name in published_names():
        curve = _published(name)
        lines.append(f"{name}\n    {curve.label}, {curve.dataset}: {curve.settings}\n")
    sources = [
        f"{source['title']}: {source['where']}; what differs: {source['differs']}"
        for source in _index()["sources"].values()
    ]
    return "".join(lines) + "\nSources\n" + "".join(f"  {line}\n" for line in sources)


def load_references(names: Sequence[str]) -> list[ReferenceCurve]:
    """The curves that all names stand for, each once; raises UserError as `load_reference` does.

    Files with the same name are called by as much of their paths as differs.
    """
    found = {
        (curve.name, curve.dataset, curve.where): curve
        for name in names
        for curve in load_reference(name)
    }
    curves = list(found.values())
    own = [curve for curve in curves if curve.dataset is None]
    return [
        replace(curve, method=_called(curve, own)) if curve.dataset is None else curve
        for curve in curves
    ]


def _called(curve: ReferenceCurve, others: Sequence[ReferenceCurve]) -> str:
    """The shortest end of a curve's path that no other path has; of one alone, the file's name."""
    parts = [Path(other.where).with_suffix("").parts for other in others if other is not curve]
    own = Path(curve.where).with_suffix("").parts
    ends = (own[-length:] for length in range(1, len(own) + 1))
    return "/".join(next((end for end in ends if all(p[-len(end) :] != end for p in parts)), own))


def load_reference(name: str) -> tuple[ReferenceCurve, ...]:
    """Return the curves that `name` stands for.

    `name` is a published curve, a pattern such as `mnist_*` that stands for several, or the path
    of a file that ends in .csv and has columns of `COLUMNS`. Raises UserError if it is none of
    these, or if the file cannot be read as such a table.
    """
    if name.endswith(".csv"):
        return (_own(with_home(name, "--reference ")),)
    chosen = [each for each in published_names() if fnmatchcase(each, name)]
    if not chosen:
        close = get_close_matches(name, published_names(), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UserError(
            f"--reference {shown(name)}: no published curve has this name{hint} "
            "(kfac-report --references lists them; a file of your own ends in .csv)"
        )
    return tuple(_published(each) for each in chosen)


def _published(name: str) -> ReferenceCurve:
    entry = _index()["curves"][name]
    source = _index()["sources"][entry["source"]]
    with _PUBLISHED.joinpath(f"{name}.csv").open(encoding="utf-8") as file:
        values = _table(name, file.read().splitlines())
    return ReferenceCurve(
        name=name,
        dataset=entry["dataset"],
        method=entry["method"],
        settings=entry["settings"],
        source=source["title"],
        where=source["where"],
        differs=source["differs"],
        values=values,
    )


def _own(path: Path) -> ReferenceCurve:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text in UTF-8"
        raise UserError(f"--reference {shown(str(path))}: {reason}") from None
    values = _table(str(path), lines)
    return ReferenceCurve(path.stem, None, path.stem, "", "", str(path), "", values)


def _table(name: str, lines: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the columns of a CSV table; an empty cell is NaN."""
    rows = list(csv.reader(lines))
    header = rows[0] if rows else []
    unknown = [column for column in header if column not in (*COLUMNS, *NOT_DRAWN)]
    if header[:1] != ["iteration"] or unknown or len(header) < 2:
        found = ", ".join(map(shown, unknown or header[:1])) or "nothing"
        raise UserError(
            f"--reference {shown(name)}: the first line names the columns, iteration first, then "
            f"some of {', '.join(COLUMNS[1:])}; it has {found}"
        )
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise UserError(
                f"--reference {shown(name)}: line {number} has {len(row)} values, not {len(header)}"
            )
    try:
        table = np.array([[float(cell or "nan") for cell in row] for row in rows[1:]], dtype=float)
    except ValueError as error:
        raise UserError(f"--reference {shown(name)}: {error}") from None
    table = table.reshape(-1, len(header))
    if not len(table) or not (np.diff(table[:, 0]) > 0).all():
        raise UserError(f"--reference {shown(name)}: iterations must increase from row to row")
    return {column: table[:, index] for index, column in enumerate(header)}


@cache
def _index() -> dict[str, Any]:
    text = _PUBLISHED.joinpath("index.yaml").read_text(encoding="utf-8")
    index: dict[str, Any] = yaml.safe_load(text)
    return index
