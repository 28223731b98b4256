"""K-FAC beside tuned first-order methods: sections of docs/results.md, and the README's picture.

    python -m benchmarks.results [NAME ...] [--seconds N | --folder FOLDER]
    python -m benchmarks.results --picture

Each section is a call of `kfac-paper compare`, whose folder is in outputs/results; an interrupted
one continues there, as one with more `--seconds` a run does. `--folder` makes the section from a
folder that was made elsewhere. What a section is made from is kept as docs/results/NAME.csv, from
which the picture is drawn.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.document import PERFORMANCE, write_section
from benchmarks.common.part import say
from benchmarks.results_curves import KEPT, curves, read_rows
from benchmarks.results_section import FIRST_ORDER, ON_FEWER, SECOND_ORDER, Section, section_text
from kfac_cli.errors import UserError
from kfac_cli.files import replace_bytes, replace_text

DOCUMENT = PERFORMANCE.with_name("results.md")
TABLES = PERFORMANCE.parent / "results"
FOLDER = Path("outputs/results")
CSV_FILE, FINDINGS_FILE = "error.csv", "findings.json"

NO_MOMENTUM = "tridiagonal-no-momentum"
COMPANION = ("tridiagonal-companion", "diagonal-companion")
EVERY = (*SECOND_ORDER, *FIRST_ORDER, NO_MOMENTUM, *COMPANION, "tridiagonal-paper")
"""Of `kfac-paper compare`."""

FEW_TEST_CASES = "dataset.test_cases=1000"
"""Test errors are not compared, and would take up to a third of the time of the evaluations."""

PICTURED = ("diagonal-default", "tridiagonal", *FIRST_ORDER, *ON_FEWER)


def _section(name: str, targets: tuple[float, ...], methods: Sequence[str], *words: str) -> Section:
    problem, _, gpu = name.partition("-")
    where = " on a GPU" if gpu else ""
    title = f"{problem.upper()}{where}: K-FAC beside tuned first-order methods"
    chosen = (f"problems={problem}", *words, f"methods={','.join(methods)}", FEW_TEST_CASES)
    chosen = chosen if gpu else (*chosen, "threads=1")
    return Section(name, title, ("compare", "scale=full", *chosen), targets)


CURVES_ERRORS, MNIST_ERRORS, FACES_ERRORS = (
    (10, 5, 2, 1, 0.7),
    (10, 5, 3, 2, 1.5),
    (100, 80, 60, 50, 30),
)
COMPARED = (*SECOND_ORDER, *FIRST_ORDER, NO_MOMENTUM)
SECTIONS = (
    _section("curves", CURVES_ERRORS, (*EVERY, *ON_FEWER), "seeds=0,1,2", "seconds=460"),
    _section("mnist", MNIST_ERRORS, (*COMPARED, *COMPANION, *ON_FEWER), "seconds=720"),
    _section("faces", FACES_ERRORS, (*COMPARED, *ON_FEWER), "seconds=720"),
)
GPU_SECTIONS = (
    _section("curves-gpu", CURVES_ERRORS, EVERY, "seconds=8"),
    _section("mnist-gpu", MNIST_ERRORS, EVERY, "seconds=10"),
    _section("faces-gpu", FACES_ERRORS, EVERY, "seconds=15"),
)
"""Not among those that are made by default."""


def main() -> int:
    """Write the sections that are asked for, and the picture; 1 if one fails."""
    parser = argparse.ArgumentParser(description="K-FAC beside tuned first-order methods")
    every = {each.name: each for each in (*SECTIONS, *GPU_SECTIONS)}
    names = [each.name for each in SECTIONS]
    parser.add_argument("names", nargs="*", choices=[*every, []], help=f"default: {names}")
    one_of = parser.add_mutually_exclusive_group()
    one_of.add_argument("--seconds", type=float, help="of each run, in place of the section's")
    one_of.add_argument("--folder", type=Path, help="of a study that was made elsewhere, for NAME")
    one_of.add_argument("--picture", action="store_true", help="only draw the README's picture")
    given = parser.parse_args()
    if given.folder is not None and len(given.names) != 1:
        parser.error("--folder: name the one section that it is for")
    try:
        for name in () if given.picture else given.names or names:
            write(every[name], given.folder or _made(every[name], given.seconds))
        picture()
    except UserError as error:
        say(str(error))
        return 1
    return 0


def _made(section: Section, seconds: float | None) -> Path:
    folder = FOLDER / section.name
    words = [w for w in section.words if seconds is None or not w.startswith("seconds=")]
    words += (
        [f"output={folder}"] if seconds is None else [f"output={folder}", f"seconds={seconds:g}"]
    )
    call = [sys.executable, "-m", "kfac_cli.paper", *words]
    if subprocess.run(call).returncode != 0:
        raise UserError(f"{section.name}: is not complete; the same command continues")
    return folder


def write(section: Section, folder: Path, document: Path = DOCUMENT, tables: Path = TABLES) -> None:
    """Write the section of a finished study, and what the picture is drawn from.

    Raises UserError for runs on different machines, whose seconds would stand in one table.
    """
    found = json.loads((folder / FINDINGS_FILE).read_text(encoding="utf-8"))
    for name in ("device_name", "thread_count", "python", "torch"):
        if isinstance(values := found["environment"][name], list):
            raise UserError(f"{folder}: has runs with {name} {' and '.join(map(str, values))}")
    problem = section.name.partition("-")[0]
    rows = [row for row in read_rows(folder / CSV_FILE) if row["problem"] == problem]
    tables.mkdir(parents=True, exist_ok=True)
    lines = [",".join(KEPT), *(",".join(row.get(name) or "" for name in KEPT) for row in rows)]
    replace_text(tables / f"{section.name}.csv", "\n".join(lines) + "\n")
    write_section(document, section.name, section_text(section, curves(rows), found))
    say(f"{section.name}: written")


def picture(tables: Path = TABLES, folder: Path = PERFORMANCE.parent) -> None:
    """Draw docs/comparison.png and .svg: error against seconds, a panel for each table shown."""
    from benchmarks.results_picture import drawn_comparison

    shown: dict[str, Section] = {}
    for section in (*SECTIONS, *GPU_SECTIONS):  # those on a GPU only in place of missing ones
        if (tables / f"{section.name}.csv").exists():
            shown.setdefault(section.name.removesuffix("-gpu"), section)
    panels = {
        f"{section.title.partition(':')[0]}: training error": curves(
            read_rows(tables / f"{section.name}.csv")
        )
        for section in shown.values()
    }
    for name, data in drawn_comparison(panels, PICTURED):
        replace_bytes(folder / name, data)


if __name__ == "__main__":
    sys.exit(main())
