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
import math
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common.document import PERFORMANCE, markdown_table, write_section
from benchmarks.common.part import say
from benchmarks.common.timing import figures
from benchmarks.results_curves import KEPT, Curve, common_seconds, curves, read_rows
from benchmarks.results_ratios import figures_or_never, ratios_table
from kfac_cli.errors import UserError, counted
from kfac_cli.files import replace_bytes, replace_text

DOCUMENT = PERFORMANCE.with_name("results.md")
TABLES = PERFORMANCE.parent / "results"
FOLDER = Path("outputs/results")
MISSED = "missed"
CSV_FILE, FINDINGS_FILE = "error.csv", "findings.json"

SECOND_ORDER = ("tridiagonal", "diagonal", "diagonal-default", "ekfac")
FIRST_ORDER = ("nesterov", "adam", "muon")
NO_MOMENTUM = "tridiagonal-no-momentum"
PAPERS = ("tridiagonal-companion", "tridiagonal-paper")
EVERY = (*SECOND_ORDER, *FIRST_ORDER, NO_MOMENTUM, *PAPERS)
"""Of `kfac-paper compare`."""

PICTURED = (*SECOND_ORDER, *FIRST_ORDER)

HEADER = (
    "optimizer seconds to a training error, interpolated between evaluations, which are excluded; "
    "what a process does only once, such as loading kernels, is included. Errors are squared "
    "errors summed over pixels, means over the training cases, of the iterate or its average, "
    "whichever is smaller. K-FAC has this project's values (`preset=default`), unless its name "
    "says otherwise. Medians over the seeds, and their range. The lowest error is that in "
    "the time of the shortest run that did not diverge."
)

RATIOS = (
    "How many times as many iterations, cases and seconds a first-order method (column) takes as "
    "K-FAC (row) to the same training errors, six of each pair of runs in equal ratios down to the "
    "last one that both reach; medians over errors and seeds. Where one run never reaches what the "
    "other one does, the six are infinite, or 0 if it is K-FAC's; a median of that is `never` or "
    "0. A dash: their best errors are about the same, and they share no others:"
)


@dataclass(frozen=True)
class Section:
    """A section of docs/results.md: the words of `kfac-paper compare`, and errors for its table."""

    name: str
    title: str
    words: tuple[str, ...]
    targets: tuple[float, ...]


def _section(name: str, targets: tuple[float, ...], methods: Sequence[str], *words: str) -> Section:
    problem, _, gpu = name.partition("-")
    where = " on a GPU" if gpu else ""
    title = f"{problem.upper()}{where}: K-FAC beside tuned first-order methods"
    chosen = (f"problems={problem}", *words, f"methods={','.join(methods)}")
    return Section(name, title, ("compare", "scale=full", *chosen), targets)


CURVES_ERRORS, MNIST_ERRORS, FACES_ERRORS = (
    (10, 5, 3, 2, 1),
    (10, 5, 3, 2, 1.5),
    (100, 80, 60, 50, 30),
)
FEWER = (*SECOND_ORDER, *FIRST_ORDER)
SECTIONS = (
    _section("curves", CURVES_ERRORS, EVERY, "seeds=0,1,2", "seconds=150"),
    _section("mnist", MNIST_ERRORS, (*FEWER, NO_MOMENTUM), "seconds=720"),
    _section("faces", FACES_ERRORS, FEWER, "seconds=720"),
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
    parser.add_argument("--seconds", type=float, help="of each run, in place of the section's")
    parser.add_argument("--folder", type=Path, help="the folder of a study that was made elsewhere")
    parser.add_argument("--picture", action="store_true", help="only draw the README's picture")
    given = parser.parse_args()
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
    """Write the section of a finished study, and what the picture is drawn from."""
    rows = read_rows(folder / CSV_FILE)
    tables.mkdir(parents=True, exist_ok=True)
    lines = [",".join(KEPT), *(",".join(row.get(name) or "" for name in KEPT) for row in rows)]
    replace_text(tables / f"{section.name}.csv", "\n".join(lines) + "\n")
    found = json.loads((folder / FINDINGS_FILE).read_text(encoding="utf-8"))
    write_section(document, section.name, _text(section, curves(rows), found))
    say(f"{section.name}: written")


def _text(section: Section, runs: Sequence[Curve], found: dict[str, Any]) -> str:
    where = found["environment"]
    words = [word for word in shlex.split(found["command"]) if not word.startswith("output=")]
    versions = f"Python {where['python']}, torch {where['torch']}"
    threads = counted(where["thread_count"], "thread")
    header = f"`{' '.join(words)}` on {where['device_name']}, {threads}, {versions}: {HEADER}"
    budget = common_seconds(runs)
    columns = ["method", "seeds", "iterations", "seconds"]
    columns += [
        *(f"to {target:g}" for target in section.targets),
        f"lowest error in {budget:.3g} s",
    ]
    rows = []
    for method in dict.fromkeys(run.method for run in runs):
        own = [run for run in runs if run.method == method]
        cells = [_spread([run.first(target) for run in own]) for target in section.targets]
        ends = [_spread([int(run.costs["iterations"][-1]) for run in own])]
        ends += [_spread([float(run.costs["seconds"][-1]) for run in own])]
        rows.append(
            [method, len(own), *ends, *cells, _spread([run.best_within(budget) for run in own])]
        )
    findings = [
        f"- {each['verdict']}: {each['statement'].partition(': ')[2]} ({each['source']}): "
        f"{_numbers(each['numbers'])}; n = {each['n']} (errors and seeds). {each['note']}"
        for each in found["findings"]
        if each["verdict"] != "not measured"
    ]
    parts = [f"### {section.title}", header, markdown_table(columns, rows)]
    if ratios := ratios_table(runs, SECOND_ORDER, FIRST_ORDER):
        parts += [RATIOS, ratios]
    return "\n\n".join([*parts, "\n".join(findings)])


def _numbers(numbers: dict[str, Any]) -> str:
    """What the verdict follows from: the median of what the statement is about, and the range."""
    name = next(name for name in numbers if name.endswith(", median"))
    what = name.removesuffix(", median")
    return f"{what} {figures_or_never(numbers[name])} (range {numbers[f'{what}, range']})"


def _spread(values: Sequence[float]) -> str:
    """The median and, unless all are the same, the range; a dash for a target that is missed."""
    ordered = sorted(values)
    low, middle, high = map(_cell, (ordered[0], statistics.median_high(ordered), ordered[-1]))
    return middle if low == high or middle == MISSED else f"{middle} ({low}–{high})"


def _cell(value: float) -> str:
    if not math.isfinite(value):
        return MISSED
    return f"{value:,}" if isinstance(value, int) else figures(value)


def picture(tables: Path = TABLES, folder: Path = PERFORMANCE.parent) -> None:
    """Draw docs/comparison.png and .svg: error against seconds, a panel for each table shown."""
    from benchmarks.results_picture import drawn_comparison

    shown: dict[str, Section] = {}
    for section in (*SECTIONS, *GPU_SECTIONS):  # those on a GPU only in place of missing ones
        if (tables / f"{section.name}.csv").exists():
            shown.setdefault(section.name.removesuffix("-gpu"), section)
    panels = {
        section.title.partition(":")[0]: curves(read_rows(tables / f"{section.name}.csv"))
        for section in shown.values()
    }
    for name, data in drawn_comparison(panels, PICTURED):
        replace_bytes(folder / name, data)


if __name__ == "__main__":
    sys.exit(main())
