"""What is no training: evaluation and logging in a default run, and the time until it starts.

    python -m benchmarks.overhead

A default run (CURVES, 500 iterations) is divided by its own clocks, of summary.json. The time from
the command to the first iteration is measured on the command itself: until its first row is
written, less the seconds of that iteration. It alternates with `python -c "import torch"`.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.common.command import kfac_run
from benchmarks.common.document import markdown_table
from benchmarks.common.part import Part, run, say
from benchmarks.common.timing import Spread, figures
from kfac_cli.paper.cost.clock import seconds
from kfac_cli.recording.csv_table import read_table
from kfac_cli.recording.summary import SUMMARY_FILE
from kfac_cli.recording.tables import METRICS_FILE
from kfac_cli.run.history import PARTS

ROUNDS = 3
MAX_SHARE = 0.05


class Start(NamedTuple):
    """Seconds from the command to the first iteration, and of importing torch."""

    command: float
    torch: float

    @property
    def limit(self) -> float:
        """The aim: twice the import, and two seconds."""
        return 2 * self.torch + 2


def section(small: bool) -> str:
    """Both tables."""
    settings = ["experiment=smoke"] if small else []
    with tempfile.TemporaryDirectory() as folder:
        kfac_run([*settings, "iterations=1", _into(Path(folder, "warm-up"))])  # fills the caches
        starts = [_start(Path(folder), turn, settings) for turn in range(1 if small else ROUNDS)]
        say("  a default run, of minutes ...")
        kfac_run([*settings, _into(Path(folder, "run"))])
        summary = json.loads(Path(folder, "run", SUMMARY_FILE).read_text(encoding="utf-8"))
    return "\n\n".join(
        [
            f"A default run of {summary['iterations']} iterations, the loading of its data aside:",
            shares(summary),
            "Seconds from the command to the first iteration, files being cached:",
            _startup(starts),
        ]
    )


def shares(summary: dict[str, float]) -> str:
    """A table of the parts of a run, from its summary."""
    whole = summary["seconds"]
    known = {part: summary[f"{part}_seconds"] for part in PARTS}
    known["other"] = whole - sum(known.values())
    rows = [[part, figures(spent), f"{100 * spent / whole:.1f}"] for part, spent in known.items()]
    both = known["evaluation"] + known["logging"]
    rows.append(["evaluation and logging", figures(both), f"{100 * both / whole:.1f}"])
    columns = ["part", "seconds", "per cent"]
    return f"{markdown_table(columns, rows)}\n\nThe aim is at most {MAX_SHARE:.0%} for both."


def _start(folder: Path, turn: int, settings: list[str]) -> Start:
    own = folder / f"start{turn}"
    torch = seconds(lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True))
    started = time.time()
    kfac_run([*settings, "iterations=1", _into(own)])
    written = (own / METRICS_FILE).stat().st_mtime
    [row] = read_table(own / METRICS_FILE)
    return Start(written - started - row["optimizer_seconds"], torch)


def _into(folder: Path) -> str:
    return f"hydra.run.dir={folder}"


def _startup(starts: list[Start]) -> str:
    cells = [
        Spread.of([start.command for start in starts]),
        Spread.of([start.torch for start in starts]),
        Spread.of([start.limit for start in starts]),
    ]
    columns = ["to the first iteration, s", "`import torch`, s", "aim: 2 × that + 2 s"]
    return markdown_table(columns, [cells])


PART = Part("overhead", "Evaluation, logging and start", section)

if __name__ == "__main__":
    sys.exit(run([PART]))
