"""Comparison of two run folders, bit for bit, except for times and machine."""

import json
import math
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kfac_cli.checkpoint.folder import PREFIX, SUFFIX, checkpoint_iterations
from kfac_cli.checkpoint.tree import read_tree
from kfac_cli.recording.csv_table import read_table

COMPARED_IN_SUMMARY = (
    "status",
    "iterations",
    "iterations_planned",
    "cases",
    "rejections",
    "best_train_error",
    "best_test_error",
    "best_iteration",
    "best_parameters",
    "final_train_error",
)


def differences(first: Path, second: Path) -> list[str]:
    """What differs; empty if the runs are the same and neither folder has a partial file."""
    found = [f"{path} is left over" for f in (first, second) for path in f.glob("**/*.tmp")]
    for name, content in CONTENTS.items():
        if path := place_of_difference(content(first), content(second)):
            found.append(f"{name}: {path}")
    return found


def place_of_difference(first, second, place="."):
    """Where two trees differ, None if they are the same bits."""
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        same = first.dtype == second.dtype and first.shape == second.shape
        same = same and first.stride() == second.stride() and same_bits(first, second)
        return None if same else place
    if isinstance(first, dict) and isinstance(second, dict):
        if first.keys() != second.keys():
            return f"{place} has {sorted(first.keys() ^ second.keys())} in one only"
        pairs = {key: (first[key], second[key]) for key in first}
    elif isinstance(first, list | tuple) and isinstance(second, list | tuple):
        if len(first) != len(second):
            return f"{place} has {len(first)} and {len(second)} items"
        pairs = dict(enumerate(zip(first, second, strict=True)))
    elif isinstance(first, float) and isinstance(second, float) and math.isnan(first):
        return None if math.isnan(second) else place
    else:
        return None if type(first) is type(second) and first == second else place
    deeper = (place_of_difference(a, b, f"{place}/{key}") for key, (a, b) in pairs.items())
    return next((found for found in deeper if found), None)


def same_bits(first: torch.Tensor, second: torch.Tensor) -> bool:
    a, b = (t.contiguous().view(-1).view(torch.uint8) for t in (first, second))
    return torch.equal(a, b)


def metrics(folder: Path):
    return without_times(folder / "metrics.csv")


def evaluations(folder: Path):
    return without_times(folder / "evaluations.csv")


def without_times(table: Path):
    rows = read_table(table)
    return [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in rows]


def parameters(folder: Path):
    return torch.load(folder / "parameters.pt", weights_only=True)


def newest_checkpoint(folder: Path):
    iteration = checkpoint_iterations(folder)[0]
    tree = read_tree(folder / f"{PREFIX}{iteration}{SUFFIX}")
    return {name: tree[name] for name in ("iteration", "data", "session")}


def summary(folder: Path):
    contents = json.loads((folder / "summary.json").read_text())
    return {name: contents[name] for name in COMPARED_IN_SUMMARY}


def tensorboard(folder: Path):
    """Tag to [(step, value), ...] without times; a duplicate step is an error."""
    runs = {path.parent for path in (folder / "tensorboard").rglob("events.*")}
    if not runs:
        return {}
    [run] = runs
    reader = EventAccumulator(str(run), size_guidance={"scalars": 0})
    reader.Reload()
    found = {}
    for tag in reader.Tags()["scalars"]:
        steps = [event.step for event in reader.Scalars(tag)]
        assert steps == sorted(set(steps)), f"{tag} has the steps {steps}"
        if not tag.startswith("time/") and not tag.endswith("/seconds"):
            found[tag] = [(event.step, event.value) for event in reader.Scalars(tag)]
    return found


CONTENTS = {
    "metrics.csv": metrics,
    "evaluations.csv": evaluations,
    "parameters.pt": parameters,
    "checkpoint": newest_checkpoint,
    "summary.json": summary,
    "tensorboard": tensorboard,
}
