"""What must be the same, and what may be another, when a run is taken up again."""

import hashlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kfac_cli.checkpoint.changes import changed_settings
from kfac_cli.config import NesterovConfig, RunConfig
from kfac_cli.data import Dataset
from kfac_cli.engine import NesterovOptions
from kfac_cli.engine.nesterov import momentum_coefficient
from kfac_cli.errors import UserError

DECIDES_ROUNDING = ("kfac-run", "torch", "cuda", "device", "device_name", "thread_count")
"""Of what `recording.environment` gives, the part that can change the last bits of a result."""

PARTS = ("train_inputs", "train_targets", "test_inputs", "test_targets")

Fingerprint = dict[str, dict[str, Any]]


def fingerprint(dataset: Dataset) -> Fingerprint:
    """Shape and SHA-256 of each of a dataset's tensors."""
    known: dict[int, dict[str, Any]] = {}
    for tensor in (getattr(dataset, name) for name in PARTS):
        if id(tensor) not in known:  # an autoencoder's targets are its inputs
            known[id(tensor)] = {"shape": list(tensor.shape), "sha256": _sha256(tensor)}
    return {name: known[id(getattr(dataset, name))] for name in PARTS}


def check_data(saved: Fingerprint, dataset: Dataset) -> None:
    """Raise UserError, saying what differs, unless the data are those that the run began with."""
    for name, now in fingerprint(dataset).items():
        before = saved[name]
        if before == now:
            continue
        if before["shape"] != now["shape"]:
            difference = f"{tuple(now['shape'])} instead of {tuple(before['shape'])}"
        else:
            difference = "the same shape, but other values"
        raise UserError(
            f"dataset.name={dataset.name}: not the data that the run began with: "
            f"{name} has {difference}; a run goes on with the same data only"
        )


def reasons_for_inequality(
    saved: Mapping[str, Any], config: RunConfig, environment: Mapping[str, Any]
) -> list[str]:
    """Why the end need not be bit for bit that of an uninterrupted run; empty if it will be.

    `saved` holds the checkpoint's `config`, `environment` and `iteration`.
    """
    before = saved["environment"]
    reasons = [
        f"{name} is {environment.get(name)} and was {before.get(name)}"
        for name in DECIDES_ROUNDING
        if before.get(name) != environment.get(name)
    ]
    changed = changed_settings(saved["config"], config)
    reasons += [text for name, text in changed.items() if name == "chunk_size"]
    optimizer, old = config.optimizer, saved["config"]["iterations"]
    if isinstance(optimizer, NesterovConfig) and _mu_differed(
        optimizer, saved["iteration"], old, config.iterations
    ):
        reasons.append(f"{changed['iterations']}, and mu is lowered in the last of all iterations")
    return reasons


def _mu_differed(optimizer: NesterovConfig, done: int, *totals: int) -> bool:
    """Whether the μ of an update already done depends on which total number was planned."""
    final = optimizer.final_iterations
    options = [
        NesterovOptions(
            mu_max=optimizer.mu_max,
            mu_schedule=optimizer.mu_schedule,
            mu_final=optimizer.mu_final,
            final_iterations=final,
            iterations=total,
        )
        for total in totals
    ]
    return any(
        len({momentum_coefficient(t, option) for option in options}) > 1
        for t in range(max(0, min(totals) - final), done)
    )


def _sha256(tensor: Tensor) -> str:
    values = tensor.contiguous().reshape(-1).numpy()
    return hashlib.sha256(values.data.cast("B")).hexdigest()
