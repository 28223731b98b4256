"""The runs that are compared, as their folders record them.

Every format of `summary.json` so far is read; before format 1 it held no settings, which are then
those of `config.yaml`. A run that was killed, or failed before its end, has no summary: what its
tables hold counts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kfac_cli.config.settings_file import CONFIG_FILE, read_settings
from kfac_cli.errors import UserError, one_line, shown
from kfac_cli.files import open_file, shown_folder
from kfac_cli.recording.summary import ERROR_FILE, FAILED, SUMMARY_FILE
from kfac_cli.recording.tables import EVALUATIONS_FILE, METRICS_FILE
from kfac_cli.report.columns import Columns, read_columns
from kfac_cli.report.find import run_folders
from kfac_cli.report.machine import Environment, environment_of, processes_of

UNFINISHED = "unfinished"
"""The status of a run without a summary: it was killed, or it is still running."""

MAX_SUMMARY_BYTES = 5_000_000


@dataclass(frozen=True)
class Run:
    """One run.

    `name` is unique among the runs that were loaded together. `settings` has dotted names, and
    `processes`, how many did it together, which is given outside the settings.
    `evaluations` and `metrics` hold a float64 array (n,) for each numeric column of the tables,
    with nan for an empty cell, and `metrics["outcome"]` an array of words. `status` is one of those
    in `recording/summary.py`, or UNFINISHED. `data` identifies the contents of the dataset;
    None if it was not recorded.
    """

    folder: Path
    name: str
    settings: Mapping[str, Any]
    status: str
    reason: str | None
    evaluations: Columns
    metrics: Columns
    summary: Mapping[str, Any]
    environment: Environment
    data: str | None

    @property
    def seed(self) -> int | None:
        """The seed; None if the settings are not known."""
        seed = self.settings.get("seed")
        return seed if isinstance(seed, int) else None

    @property
    def optimizer(self) -> str:
        """The name of its optimizer."""
        return str(self.settings.get("optimizer.name", "unknown optimizer"))

    @property
    def dataset(self) -> str:
        """The name of its dataset."""
        return str(self.settings.get("dataset.name", "unknown dataset"))

    @property
    def iterations(self) -> int:
        """The iterations that it did."""
        done = self.metrics.get("iteration")
        if done is not None and len(done) and math.isfinite(done[-1]):
            return int(done[-1])
        known = self.summary.get("iterations")
        return known if isinstance(known, int) else 0


def load_runs(
    paths: Iterable[str | Path], progress: Callable[[int, int], None] | None = None
) -> tuple[list[Run], list[str]]:
    """Read the runs in the folders of runs, sweeps and searches; also return what was not read.

    Each complaint is one line that names a file or folder; the rest is read. `progress` is called
    with the number of folders read so far and that of all.
    """
    folders, complaints = run_folders(paths)
    names = _names(folders)
    runs = []
    for index, folder in enumerate(folders):
        if progress is not None:
            progress(index, len(folders))
        try:
            runs.append(_load(folder, names[index], complaints))
        except UserError as error:
            complaints.append(one_line(str(error)))
        except OSError as error:
            where = error.filename or shown_folder(folder)
            complaints.append(one_line(f"{where}: {error.strerror or error}"))
    if progress is not None:
        progress(len(folders), len(folders))
    return runs, complaints


def _load(folder: Path, name: str, complaints: list[str]) -> Run:
    summary = _read_summary(folder / SUMMARY_FILE)
    settings = {**_settings(folder, summary), "processes": processes_of(summary)}
    tables = []
    for file in (EVALUATIONS_FILE, METRICS_FILE):
        columns, complaint = read_columns(folder / file)
        tables.append(columns)
        if complaint is not None:
            complaints.append(one_line(f"{shown_folder(folder / file)}: {complaint}"))
    evaluations, metrics = tables
    status, reason = _ending(folder, summary)
    return Run(
        folder=folder,
        name=name,
        settings=settings,
        status=status,
        reason=reason,
        evaluations=_with_cost(evaluations, metrics),
        metrics=_with_outcome(metrics),
        summary=summary,
        environment=environment_of(summary, settings.get("start_from")),
        data=_data(summary),
    )


def _read_summary(path: Path) -> dict[str, Any]:
    """The summary; empty if there is none. Raises UserError if it is none of a run's."""
    try:
        with open_file(path) as file:
            text = file.read(MAX_SUMMARY_BYTES + 1)
    except FileNotFoundError:
        return {}
    where = shown_folder(path)
    if len(text) > MAX_SUMMARY_BYTES:
        raise UserError(f"{where}: is too large for the summary of a run")
    try:
        summary = json.loads(text)
    except (ValueError, RecursionError):
        raise UserError(f"{where}: is damaged: it does not hold JSON") from None
    if not isinstance(summary, dict) or not isinstance(summary.get("status"), str):
        raise UserError(f"{where}: is not the summary of a run of kfac-run")
    return summary


def _settings(folder: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    recorded = summary.get("settings")
    if isinstance(recorded, dict):
        return {str(name): value for name, value in recorded.items()}
    file = folder / CONFIG_FILE
    if file.exists():
        settings = dict(flattened(read_settings(file)))
        if "iterations" in settings and "optimizer.name" in settings:
            return settings
        raise UserError(f"{shown_folder(file)}: does not hold the settings of a run")
    if summary:  # of which only the title, of two names, is known
        dataset, _, optimizer = str(summary.get("title", "")).partition(", ")
        return {"dataset.name": dataset or "unknown", "optimizer.name": optimizer or "unknown"}
    raise UserError(f"{shown_folder(folder)}: holds no {CONFIG_FILE} and no {SUMMARY_FILE}")


def flattened(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of nested settings."""
    from omegaconf import OmegaConf

    if OmegaConf.is_config(settings):
        settings = OmegaConf.to_container(settings)
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _ending(folder: Path, summary: Mapping[str, Any]) -> tuple[str, str | None]:
    if summary:
        reason = summary.get("reason")
        return summary["status"], None if reason is None else str(reason)
    try:
        with open_file(folder / ERROR_FILE) as file:
            lines = file.read(100_000).decode(errors="replace").strip().splitlines()
    except OSError:
        return UNFINISHED, None
    return FAILED, one_line(lines[-1]) if lines else None


def _with_cost(evaluations: Columns, metrics: Columns) -> Columns:
    """Evaluations with the cases and seconds so far, which the earliest tables left to metrics."""
    at, rows = evaluations.get("iteration"), metrics.get("iteration")
    if at is None or rows is None or not len(rows):
        return evaluations
    place = np.clip(np.searchsorted(rows, at, side="right") - 1, 0, len(rows) - 1)
    known = rows[place] == at
    completed = dict(evaluations)
    for name in ("cases", "seconds", "optimizer_seconds"):
        if name not in completed and name in metrics:
            completed[name] = np.where(known, metrics[name][place], math.nan)
    return completed


def _with_outcome(metrics: Columns) -> Columns:
    """Metrics with the outcome of each step, of which earlier tables knew only rejections."""
    if "outcome" in metrics or "rejected" not in metrics:
        return metrics
    words = np.where(metrics["rejected"] == 1, "rejected", "accepted").astype(object)
    return {**metrics, "outcome": words}


def _data(summary: Mapping[str, Any]) -> str | None:
    """The fingerprint of the dataset as one text."""
    data = summary.get("data")
    return json.dumps(data, sort_keys=True) if isinstance(data, dict) else None


def _names(folders: Sequence[Path]) -> list[str]:
    """A short name for each folder: its path below the folder that all have in common."""
    if len(folders) == 1:
        return [shown(folders[0].name)]
    common = 0
    while len({folder.parts[: common + 1] for folder in folders}) == 1 and all(
        len(folder.parts) > common + 1 for folder in folders
    ):
        common += 1
    return ["/".join(folder.parts[common:]) for folder in folders]
