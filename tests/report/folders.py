"""Folders of runs as kfac-run leaves them, with made-up numbers."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kfac_cli.recording.csv_table import Table
from kfac_cli.recording.metrics import EVALUATION_COLUMNS, METRIC_COLUMNS

ENVIRONMENT = {
    "python": "3.11.7",
    "kfac-run": "0.1.0",
    "torch": "2.14.1",
    "torchvision": "0.29.1",
    "numpy": "2.4.6",
    "hydra-core": "1.3.8",
    "cuda": None,
    "platform": "Linux",
    "thread_count": 1,
    "device": "cpu",
    "device_name": "A processor",
}


def settings(optimizer: str = "kfac_tridiag", seed: int = 0, **changes: Any) -> dict[str, Any]:
    """Settings by dotted name; in `changes` a double underscore stands for a dot."""
    values: dict[str, Any] = {
        "dataset.name": "curves",
        "dataset.train_cases": 400,
        "optimizer.name": optimizer,
    }
    if optimizer.startswith("kfac"):
        values |= {"optimizer.kind": "kfac", "optimizer.t3": 20, "optimizer.tau2": 0.25}
    elif optimizer == "adam":
        values |= {"optimizer.kind": "torch", "optimizer.arguments.lr": 0.001}
    else:
        values |= {"optimizer.kind": "nesterov_sgd", "optimizer.learning_rate": 0.01}
    values |= {"schedule.kind": "fixed", "schedule.size": 100, "iterations": 100}
    values |= {"l2": 1e-5, "threads": 1, "tags": [], "seed": seed}
    return values | {name.replace("__", "."): value for name, value in changes.items()}


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a file nests them."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *sections, last = name.split(".")
        place = tree
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return tree


def write_run(
    folder: Path,
    given: Mapping[str, Any] | None = None,
    *,
    errors: Sequence[float] = (30.0, 10.0, 5.0, 3.0),
    every: int = 25,
    seconds_per_iteration: float = 0.1,
    status: str | None = "finished",
    reason: str | None = None,
    data: str = "a" * 64,
    **summary: Any,
) -> Path:
    """Write the folder of a run with one training error for each evaluation.

    Without a status there is no summary. Further keywords are entries of the summary.
    """
    folder.mkdir(parents=True)
    values = settings() if given is None else dict(given)
    done = every * len(errors)
    kfac = values.get("optimizer.kind") == "kfac"
    with Table(folder / "metrics.csv", METRIC_COLUMNS) as table:
        for k in range(1, done + 1):
            seconds = k * seconds_per_iteration
            table.append(
                {
                    "iteration": k,
                    "batch_size": 100,
                    "cases": 100 * k,
                    "objective": 100 / k,
                    "error": 30 / k,
                    "alpha": 0.5 if kfac else None,
                    "mu": 0.5 + 0.4 * math.sin(k / 9) if kfac else None,
                    "rho": 0.9 if kfac and k % 5 == 0 else None,
                    "lambda": 150 * 0.95**k if kfac else None,
                    "gamma": 0.5 if kfac else None,
                    "outcome": "rejected" if kfac and k % 10 == 3 else "accepted",
                    "seconds": 1.5 * seconds,
                    "optimizer_seconds": seconds,
                    "evaluation_seconds": 0.3 * seconds,
                    "logging_seconds": 0.1 * seconds,
                }
            )
    with Table(folder / "evaluations.csv", EVALUATION_COLUMNS) as table:
        for number, error in enumerate(errors, start=1):
            k = every * number
            table.append(
                {
                    "iteration": k,
                    "cases": 100 * k,
                    "seconds": 1.5 * k * seconds_per_iteration,
                    "optimizer_seconds": k * seconds_per_iteration,
                    **_evaluation(error),
                }
            )
    if status is not None:
        contents = {
            "format": 1,
            "title": f"{values.get('dataset.name')}, {values.get('optimizer.name')}",
            "command": "kfac-run",
            "settings": values,
            "data": {"train_inputs": {"shape": [400, 784], "sha256": data}},
            "status": status,
            "reason": reason,
            "iterations": done,
            "iterations_planned": values.get("iterations"),
            "rejections": done // 10 if kfac else 0,
            "seconds": 1.5 * done * seconds_per_iteration,
            "optimizer_seconds": done * seconds_per_iteration,
            "evaluation_seconds": 0.3 * done * seconds_per_iteration,
            "logging_seconds": 0.1 * done * seconds_per_iteration,
            "best_train_error": float(np.nanmin(errors)) if len(errors) else None,
            **ENVIRONMENT,
            **summary,
        }
        (folder / "summary.json").write_text(json.dumps(contents), encoding="utf-8")
    return folder


def _evaluation(error: float) -> dict[str, float]:
    return {
        "train_error": error,
        "train_error_average": 1.1 * error,
        "train_error_best": error,
        "test_error": 1.2 * error,
        "test_error_average": 1.3 * error,
        "train_log_likelihood": -50 - error,
        "train_log_likelihood_average": -51 - error,
        "test_log_likelihood": -55 - error,
        "test_log_likelihood_average": -56 - error,
    }
