"""Block-tridiagonal against block-diagonal: optimizer seconds to several training errors.

    python -m benchmarks.inverses [--small] [--output FILE]

Sweeps of `kfac-run` over both inverses and three seeds, one for each dataset, in
outputs/benchmarks/inverses. An interrupted call continues them, and a complete sweep is only read.
Evaluation is excluded from the seconds; the first evaluation at most at the error counts, and there
is one every few iterations.
"""

import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.common.command import kfac_run
from benchmarks.common.document import markdown_table
from benchmarks.common.part import Part, run, say
from benchmarks.common.timing import figures
from kfac_cli.errors import UserError
from kfac_cli.paper.cost.methods import INVERSES
from kfac_cli.recording.summary import FAILED, INTERRUPTED
from kfac_cli.report.measures import ITERATIONS, SECONDS, Cost, time_to
from kfac_cli.report.runs import UNFINISHED, Run, load_runs

NOTE = "Medians over the seeds, and in parentheses the range; evaluation is excluded."
INCOMPLETE = (UNFINISHED, FAILED, INTERRUPTED)
FOLDER = Path("outputs/benchmarks/inverses")


class Sweep(NamedTuple):
    """The runs on one dataset: the errors, descending, and the settings of `kfac-run`."""

    name: str
    targets: tuple[float, ...]
    settings: tuple[str, ...]
    seeds: str = "0,1,2"

    @property
    def command(self) -> list[str]:
        """The sweep's command line, without its folder."""
        optimizers = ",".join(INVERSES.values())
        return ["-m", f"optimizer={optimizers}", f"seed={self.seeds}", *self.settings]


SWEEPS = (
    Sweep(
        "MNIST",
        (10, 5, 3, 2.4),
        ("dataset=mnist", "target_error=2.4", "evaluate_every=5", "max_seconds=400"),
    ),
    Sweep(
        "CURVES",
        (10, 5, 3, 1),
        ("dataset=curves", "target_error=1", "evaluate_every=5", "max_seconds=300"),
    ),
    Sweep(
        "FACES",
        (100, 80, 60, 50),
        ("dataset=faces", "l2=5e-6", "target_error=50", "evaluate_every=10", "max_seconds=600"),
    ),
)
SMALL = (
    Sweep(
        "small",
        (100, 1e-9),
        ("experiment=smoke", "iterations=4", "evaluate_every=2", "optimizer.lambda_initial=1"),
        "0",
    ),
)


def section(small: bool, folder: Path = FOLDER) -> str:
    """A table for each dataset."""
    parts = []
    for sweep in SMALL if small else SWEEPS:
        say(f"  {sweep.name}")
        parts.append(f"{sweep.name} (`kfac-run {' '.join(sweep.command)}`):")
        parts.append(table(sweep, _runs(sweep, folder)))
    return "\n\n".join(parts)


def _runs(sweep: Sweep, folder: Path) -> list[Run]:
    """The runs of a sweep, after its missing ones have been done; one may have diverged."""
    own = folder / sweep.name.lower()
    settings = ["tensorboard=false", f"hydra.sweep.dir={own}"]
    words = ["-m", f"resume={own}"] if own.exists() else [*sweep.command, *settings]
    try:
        kfac_run(words)
    except UserError as error:
        say(f"  {error}")
    runs, complaints = load_runs([own])
    for line in complaints:
        say(f"  {line}")
    if complaints or not runs or any(run.status in INCOMPLETE for run in runs):
        raise UserError(f"the runs on {sweep.name} are not complete; the same command continues")
    return runs


def table(sweep: Sweep, runs: Sequence[Run]) -> str:
    """Medians over the seeds, with the range, for each error and inverse, and their ratio."""
    tri, diag = (
        [run for run in runs if run.settings.get("optimizer.name") == optimizer]
        for optimizer in INVERSES.values()
    )
    rows = []
    for target in sweep.targets:
        seconds = [_median(group, target, SECONDS) for group in (tri, diag)]
        ratio = seconds[1] / seconds[0] if all(map(math.isfinite, seconds)) else math.nan
        cells = [f"{target:g}"]
        for cost in (ITERATIONS, SECONDS):
            cells += [_cell(group, target, cost) for group in (tri, diag)]
        rows.append([*cells, figures(ratio) if math.isfinite(ratio) else "–"])
    names = [f"{cost.label}, {name}" for cost in (ITERATIONS, SECONDS) for name in INVERSES]
    return markdown_table(["error", *names, "diagonal / tridiagonal, seconds"], rows)


def _times(runs: Sequence[Run], target: float, cost: Cost) -> list[float]:
    return sorted(time_to(run, target, cost) for run in runs)


def _median(runs: Sequence[Run], target: float, cost: Cost) -> float:
    return statistics.median_high(_times(runs, target, cost) or [math.inf])


def _cell(runs: Sequence[Run], target: float, cost: Cost) -> str:
    times = _times(runs, target, cost)
    middle = _median(runs, target, cost)
    if not math.isfinite(middle):
        return "not reached"
    text = _number(middle, cost)
    if len(times) == 1:
        return text
    return f"{text} ({_number(times[0], cost)}–{_number(times[-1], cost)})"


def _number(value: float, cost: Cost) -> str:
    return f"{value:g}" if cost == ITERATIONS else figures(value)


PART = Part("inverses", "Block-tridiagonal or block-diagonal", section, NOTE, "bench-inverses")

if __name__ == "__main__":
    sys.exit(run([PART]))
