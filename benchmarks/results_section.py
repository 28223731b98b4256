"""A section of docs/results.md: what a study of `kfac-paper compare` shows, as text and tables."""

import math
import shlex
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.common.document import markdown_table
from benchmarks.common.timing import figures
from benchmarks.results_curves import Curve, common_seconds
from benchmarks.results_ratios import figures_or_never, ratios_table
from kfac_cli.paper.compare.methods import ADAM_ON_FEWER, BASELINE_ON_FEWER

MISSED = "missed"

SECOND_ORDER = ("tridiagonal", "diagonal", "diagonal-default", "ekfac")
FIRST_ORDER = ("nesterov", "adam", "muon")
ON_FEWER = (BASELINE_ON_FEWER, ADAM_ON_FEWER)
"""Of `kfac-paper compare`, those whose costs are compared; the last on smaller mini-batches."""

HEADER = (
    "optimizer seconds to a training error, interpolated between evaluations, which are excluded; "
    "what a process does only once, such as loading kernels, is included. Errors are squared "
    "errors summed over pixels, means over the training cases, of the iterate or its average, "
    "whichever is smaller. K-FAC has this project's values (`preset=default`), unless its name "
    "says otherwise. Medians over the seeds, and their range. The lowest error is that in "
    "the time of the shortest run that did not diverge."
)

ITERATIONS_TO = "Iterations to a training error, medians over the seeds and their range:"

RATIOS = (
    "How many times as many iterations, cases and seconds another method (column) takes as "
    "K-FAC (row) to the same training errors, six of each pair of runs in equal ratios down to the "
    "last one that both reach; medians over errors and seeds. Where one run never reaches what the "
    "other one does, the six are infinite, or 0 if it is the row's; a median of that is `never` or "
    "0. A dash: their best errors are about the same, and they share no others:"
)


@dataclass(frozen=True)
class Section:
    """A section of docs/results.md: the words of `kfac-paper compare`, and errors for its table."""

    name: str
    title: str
    words: tuple[str, ...]
    targets: tuple[float, ...]


def section_text(section: Section, runs: Sequence[Curve], found: dict[str, Any]) -> str:
    """The section in Markdown, from the runs of a study and its findings.json."""
    where = found["environment"]
    words = [word for word in shlex.split(found["command"]) if not word.startswith("output=")]
    versions = f"Python {where['python']}, torch {where['torch']}"
    threads = "1 thread" if where["thread_count"] == 1 else f"{where['thread_count']} threads"
    header = f"`{' '.join(words)}` on {where['device_name']}, {threads}, {versions}: {HEADER}"
    parts = [f"### {section.title}", header, _seconds_table(section, runs)]
    parts += [ITERATIONS_TO, _iterations_table(section, runs)]
    if ratios := ratios_table(runs, SECOND_ORDER, (*FIRST_ORDER, *ON_FEWER, *SECOND_ORDER)):
        parts += [RATIOS, ratios]
    findings = [
        f"- {each['verdict']}: {each['statement'].partition(': ')[2]} ({each['source']}): "
        f"{_numbers(each['numbers'])}; n = {each['n']} (errors and seeds). {each['note']}"
        for each in found["findings"]
        if each["verdict"] != "not measured"
        and each["statement"].startswith(f"{section.name.partition('-')[0]}: ")
    ]
    return "\n\n".join([*parts, "\n".join(findings)])


def _seconds_table(section: Section, runs: Sequence[Curve]) -> str:
    """How far each method came, and in how many optimizer seconds."""
    budget = common_seconds(runs)
    columns = ["method", "seeds", "iterations", "seconds", *_targets(section)]
    rows = []
    for method, own in _by_method(runs):
        ends = [_spread([int(run.costs["iterations"][-1]) for run in own])]
        ends += [_spread([float(run.costs["seconds"][-1]) for run in own])]
        lowest = _spread([run.best_within(budget) for run in own])
        rows.append([method, len(own), *ends, *_reached(section, own, "seconds"), lowest])
    return markdown_table([*columns, f"lowest error in {budget:.3g} s"], rows)


def _iterations_table(section: Section, runs: Sequence[Curve]) -> str:
    rows = [[method, *_reached(section, own, "iterations")] for method, own in _by_method(runs)]
    return markdown_table(["method", *_targets(section)], rows)


def _targets(section: Section) -> list[str]:
    return [f"to {target:g}" for target in section.targets]


def _reached(section: Section, runs: Sequence[Curve], cost: str) -> list[str]:
    return [_spread([run.first(target, cost) for run in runs]) for target in section.targets]


def _by_method(runs: Sequence[Curve]) -> list[tuple[str, list[Curve]]]:
    methods = dict.fromkeys(run.method for run in runs)
    return [(method, [run for run in runs if run.method == method]) for method in methods]


def _numbers(numbers: dict[str, Any]) -> str:
    """What the verdict follows from: the median of what the statement is about, and the range."""
    name = next(name for name in numbers if name.endswith(", median"))
    what = name.removesuffix(", median")
    return f"{what} {figures_or_never(numbers[name])} (range {numbers[f'{what}, range']})"


def _spread(values: Sequence[float]) -> str:
    """The median and, unless all are the same, the range; `missed` for a missed target."""
    ordered = sorted(values)
    low, middle, high = map(_cell, (ordered[0], statistics.median_high(ordered), ordered[-1]))
    return middle if low == high or middle == MISSED else f"{middle} ({low}–{high})"


def _cell(value: float) -> str:
    if not math.isfinite(value):
        return MISSED
    return f"{value:,}" if isinstance(value, int) else figures(value)
