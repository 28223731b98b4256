"""How much faster an iteration is in two processes of one thread than in one.

    python -m benchmarks.processes [--small] [--output FILE]

Each process takes half of the cases of every mini-batch. Both are measured as runs of the command,
one after the other, so that the exchange of sums is part of it.
"""

import csv
import os
import subprocess
import sys
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from benchmarks.common.part import NOTE, Part, run
from kfac_cli.engine.options.kfac import KFACOptions
from kfac_cli.errors import UserError

ROUNDS = 3
COUNTS = (1, 2)
MEASURED = 20
"""Iterations after the first ones, which calibrate λ and make a new inverse each time."""


def measure(small: bool) -> str:
    """A table of the seconds of an iteration for each number of processes."""
    dataset, cases, measured = ("curves_small", 200, 2) if small else ("curves", 10_000, MEASURED)
    lines = ["| optimizer | one process | two processes | ratio |", "|---|---|---|---|"]
    for optimizer in ("kfac_tridiag", "kfac_diag", "nesterov_sgd"):
        rounds = [
            [_seconds(optimizer, dataset, count, cases, measured) for count in COUNTS]
            for _ in range(1 if small else ROUNDS)
        ]
        ratios = [one / two for one, two in rounds]
        one, two = (median(times) for times in zip(*rounds, strict=True))
        lines.append(f"| `{optimizer}` | {one:.3f} s | {two:.3f} s | {_spread(ratios)} |")
    text = "\n".join(lines)
    return (
        f"Seconds of an iteration on {dataset} with m = {cases:,}, without evaluation and writing, "
        f"in processes of one thread each, refreshes of the inverse included.\n\n{text}"
    )


def _spread(ratios: list[float]) -> str:
    if len(ratios) == 1:
        return f"{ratios[0]:.2f}"
    low, middle, high = quantiles(ratios, n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def _seconds(optimizer: str, dataset: str, count: int, cases: int, measured: int) -> float:
    """The mean seconds of so many iterations after the first ones of a run."""
    skipped = KFACOptions().first_iterations
    iterations = skipped + measured
    with TemporaryDirectory() as place:
        folder = Path(place) / "run"
        settings = [
            f"dataset={dataset}",
            f"optimizer={optimizer}",
            "schedule=fixed",
            f"schedule.size={cases}",
            f"iterations={iterations}",
            f"evaluate_every={iterations}",
            "threads=1",
            "tensorboard=false",
            "checkpoint.keep=0",
            f"hydra.run.dir={folder}",
        ]
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        command = [sys.executable, *launcher, "-m", "kfac_cli", *settings]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise UserError(f"{count} processes failed: {done.stderr[-500:]}")
        with (folder / "metrics.csv").open(encoding="utf-8") as file:
            times = [float(row["optimizer_seconds"]) for row in csv.DictReader(file)]
    return (times[-1] - times[skipped - 1]) / measured


PART = Part("processes", "Several processes", measure, NOTE, "bench-processes")

if __name__ == "__main__":
    sys.exit(run([PART]))
