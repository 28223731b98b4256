"""How a trial's run ended, read from its folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from kfac_cli.recording.summary import (
    DIVERGED,
    FAILED,
    INTERRUPTED,
    PRUNED,
    SUMMARY_FILE,
    TARGET_REACHED,
)
from kfac_cli.recording.values import as_finite

COLUMNS = {"seconds": "optimizer_seconds", "iterations": "iteration", "cases": "cases"}
"""The column of evaluations.csv that an objective is, at the evaluation that met the target."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the state and the value for Optuna, and the entries of its summary.

    Optuna learns from trials that are pruned as from those that are complete, but ranks them below
    these. So runs without a value, which diverged or missed the target, count as pruned.
    """

    state: TrialState
    value: float | None
    summary: dict[str, Any]

    @property
    def status(self) -> str:
        """The run's status, `failed` for an error."""
        return str(self.summary.get("status", FAILED))


def read_outcome(folder: Path, objective: str) -> Outcome | None:
    """How the run in a folder ended; None if it has not."""
    summary = read_summary(folder)
    if summary.get("status") in (None, INTERRUPTED, FAILED):
        return None
    value = None
    if summary["status"] not in (DIVERGED, PRUNED):
        value = _value(summary, objective)
    state = TrialState.PRUNED if value is None else TrialState.COMPLETE
    return Outcome(state, value, summary)


def read_summary(folder: Path) -> dict[str, Any]:
    """The entries of summary.json; none if it cannot be read."""
    try:
        summary = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return summary if isinstance(summary, dict) else {}


def _value(summary: dict[str, Any], objective: str) -> float | None:
    if objective == "error":
        return as_finite(summary.get("best_train_error"))
    if summary["status"] != TARGET_REACHED:
        return None
    return as_finite(summary.get(f"final_{COLUMNS[objective]}"))
