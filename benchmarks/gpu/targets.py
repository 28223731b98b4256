"""Seconds to training errors on a GPU, and the paper's experiment as a whole."""

import json
import math
import tempfile
from pathlib import Path

from benchmarks.common.command import kfac_run
from benchmarks.common.document import markdown_table
from benchmarks.common.problems import Problem
from benchmarks.common.timing import figures
from benchmarks.peers.clock import curve, seconds_to
from kfac_cli.engine import evaluate
from kfac_cli.paper.cost.clock import wait_for
from kfac_cli.paper.cost.methods import INVERSES
from kfac_cli.recording.summary import SUMMARY_FILE

TARGETS = (5.0, 2.0)
SMALL = ("experiment=smoke", "iterations=2", "optimizer.lambda_initial=1", "tensorboard=false")
EXPERIMENT = ("experiment=mnist_kfac_tridiag", "tensorboard=false")


def errors(problem: Problem, limit: float, device: str) -> str:
    """Optimizer seconds of the default options to each error on the whole training set."""
    rows = []
    for name, optimizer in INVERSES.items():
        made = problem.session((f"optimizer={optimizer}",), device)
        inputs = made.dataset.train_inputs

        def step() -> bool:
            made.step()  # noqa: B023
            wait_for(device)
            return True

        def error() -> float:
            parameters = made.optimizer.parameters  # noqa: B023
            return evaluate(made.network, parameters, inputs, inputs, 10_000).error  # noqa: B023

        points = curve(step, error, TARGETS[-1], limit)
        times = [seconds_to(points, target, limit) for target in TARGETS]
        cells = [figures(t) if math.isfinite(t) else "missed" for t in times]
        rows.append([name, *cells, points[-1][1], figures(points[-1][2])])
    columns = ["", *(f"s to error {target:g}" for target in TARGETS), "iterations", "last error"]
    return f"{markdown_table(columns, rows)}\n\nA miss is one after {limit:g} s."


def experiment(settings: tuple[str, ...], limit: float, device: str) -> str:
    """The seconds of a whole run of `kfac-run`, and the error that it reaches."""
    with tempfile.TemporaryDirectory() as folder:
        bounds = (f"device={device}", f"max_seconds={limit}", f"hydra.run.dir={folder}")
        kfac_run([*settings, *bounds])
        summary = json.loads(Path(folder, SUMMARY_FILE).read_text(encoding="utf-8"))
    names = ("iterations", "seconds", "optimizer_seconds", "evaluation_seconds", "logging_seconds")
    cells = [figures(summary[name]) for name in names[1:]]
    row = [summary["iterations"], *cells, figures(summary["best_train_error"])]
    return markdown_table([*(name.replace("_", " ") for name in names), "best error"], [row])
