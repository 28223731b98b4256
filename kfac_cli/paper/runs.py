"""The runs that a study needs, each a `kfac-run` in a process of its own.

A run that has ended with the same settings is skipped and one that was interrupted is resumed, so
that the same command continues. A run that diverged is a result.
"""

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from kfac_cli.commands.quoting import quoted
from kfac_cli.commands.resume import read_ending
from kfac_cli.config.schema import flat_settings
from kfac_cli.config.settings_file import CONFIG_FILE, read_settings
from kfac_cli.config.validation import validate
from kfac_cli.errors import UserError, counted, shown
from kfac_cli.files import shown_folder
from kfac_cli.paper.checked_settings import checked
from kfac_cli.paper.study import RUNS
from kfac_cli.recording.csv_table import read_table
from kfac_cli.recording.summary import (
    DIVERGED,
    FINISHED,
    TARGET_MISSED,
    TARGET_REACHED,
    TIME_LIMIT_REACHED,
)
from kfac_cli.recording.tables import METRICS_FILE
from kfac_cli.recording.values import format_duration, significant
from kfac_cli.report.runs import Run, load_runs
from kfac_cli.signals import Interrupted, StopRequest

QUIET = ("tensorboard=false", "checkpoint.keep=0")
"""Settings of runs of which the tables are all that is needed."""

EXTENSIBLE = ("tensorboard=false", "checkpoint.keep=1")
"""Settings of runs that may be given more time later."""

ENDED = (FINISHED, TARGET_REACHED, TARGET_MISSED, TIME_LIMIT_REACHED, DIVERGED)

COMMAND = (sys.executable, "-m", "kfac_cli")

POLL_SECONDS = 0.05


@dataclass(frozen=True)
class PlannedRun:
    """A run that a study needs: the name of its folder, and the words of its command line.

    Of several values for one setting the last one counts.
    """

    name: str
    settings: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """The words without those that later ones replace."""
        last = {word.partition("=")[0]: word for word in self.settings}
        return [word for word in self.settings if last[word.partition("=")[0]] == word]


def complete_runs(
    planned: Sequence[PlannedRun], folder: Path, say: Callable[[str], None], jobs: int = 1
) -> list[Run]:
    """Do what is missing of the runs, `jobs` at a time, and read them all, in their order.

    `folder` is the study's. All settings are checked before the first run starts. Raises UserError
    for wrong settings, for a folder that holds a run with others, and if a run fails.
    """
    base = folder / RUNS
    limits = {run.name: _checked_limits(run, base / run.name) for run in planned}
    missing = [run for run in planned if not _has_ended(base / run.name, limits[run.name])]
    if len(missing) < len(planned):
        say(f"{counted(len(planned) - len(missing), 'run')} of {len(planned)} already done")
    _do(missing, base, limits, say, jobs)
    return _read(planned, base)


class _Limits(NamedTuple):
    """What ends a run: its iterations, and its max_optimizer_seconds unless None."""

    iterations: int
    seconds: float | None


def _checked_limits(run: PlannedRun, folder: Path) -> _Limits:
    """What ends the run.

    Raises UserError if its settings are wrong or the folder holds a run with others.
    """
    config = checked(run.words)
    limits = _Limits(config.iterations, config.max_optimizer_seconds)
    file = folder / CONFIG_FILE
    if not file.exists():
        return limits
    wanted = flat_settings(config)
    try:
        found = flat_settings(validate(read_settings(file)))
    except UserError as error:
        raise UserError(
            f"{shown_folder(folder)}: holds a run of another version ({error}); remove it or "
            "choose another output="
        ) from error
    for name in dict.fromkeys([*wanted, *found]):
        if wanted.get(name) != found.get(name) and name != "max_optimizer_seconds":
            raise UserError(
                f"{shown_folder(folder)}: holds a run with {name}={shown(found.get(name))}, and "
                f"the study needs {shown(wanted.get(name))}, which may be this version's value; "
                "remove it or choose another output="
            )
    given = found.get("max_optimizer_seconds")
    if limits.seconds is not None and given is not None and given > limits.seconds:
        raise UserError(
            f"{shown_folder(folder)}: was continued to {given:g} optimizer seconds, and the study "
            f"needs {limits.seconds:g}; give seconds={given:g} or choose another output="
        )
    return limits


def _has_ended(folder: Path, limits: _Limits) -> bool:
    """Whether the run has ended; one that its time limit ended has not if it is to have more.

    One that missed its target may have ended by either limit.
    """
    ending = read_ending(folder)
    if ending is None or ending.status not in ENDED:
        return False
    if ending.status not in (TIME_LIMIT_REACHED, TARGET_MISSED):
        return True
    if ending.iterations >= limits.iterations:
        return True
    done = _last_metrics(folder).get("optimizer_seconds", 0.0)
    return limits.seconds is not None and done >= limits.seconds


def _do(
    missing: Sequence[PlannedRun],
    base: Path,
    limits: Mapping[str, _Limits],
    say: Callable[[str], None],
    jobs: int,
) -> None:
    """Do the runs, and on a signal stop those that are under way; then it raises Interrupted."""
    waiting = list(enumerate(missing, start=1))
    running: list[_Process] = []
    with StopRequest() as stop:
        try:
            while (waiting or running) and stop.signal is None:
                while waiting and len(running) < jobs:
                    number, run = waiting.pop(0)
                    label = f"[{number}/{len(missing)}] {run.name}"
                    running.append(_Process(label, run, base / run.name, limits[run.name]))
                    say(f"{label}: {running[-1].beginning}")
                for process in [each for each in running if each.has_ended()]:
                    running.remove(process)
                    say(f"{process.label}: {process.outcome()}")
                time.sleep(POLL_SECONDS)
        finally:
            for process in running:
                say(f"{process.label}: stopping, after it has saved")
                process.stop()
            for process in running:
                process.wait()
    if stop.signal is not None:
        raise Interrupted(stop.signal)


class _Process:
    """A run in its process, which is in a group of its own: Ctrl-C reaches only the parent."""

    def __init__(self, label: str, run: PlannedRun, folder: Path, limits: _Limits) -> None:
        self.label = label
        self._folder, self._limits = folder, limits
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        resumed = (folder / CONFIG_FILE).exists()
        self.beginning = "resumed" if resumed else "started"
        words = _resuming(folder, limits.seconds) if resumed else _starting(run, folder)
        self._process = subprocess.Popen(
            [*COMMAND, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            process_group=0,
        )

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def outcome(self) -> str:
        """How the run ended, in words; raises UserError if it failed."""
        with self._errors:
            reason = self._reason()
        ending = read_ending(self._folder)
        if ending is None or not _has_ended(self._folder, self._limits):
            raise UserError(f"{self.label}: {reason}")  # what an earlier process left may be there
        seconds = _last_metrics(self._folder).get("seconds")
        time_taken = "" if seconds is None else f" in {format_duration(seconds)}"
        error = ending.best_train_error
        best = f", error {significant(error)}" if math.isfinite(error) else ""
        return f"{ending.status} after {ending.iterations} iterations{time_taken}{best}"

    def stop(self) -> None:
        """Ask the run to finish its step, save and end."""
        self._process.terminate()

    def wait(self) -> None:
        self._process.wait()
        self._errors.close()

    def _reason(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        named = [line for line in lines if line.startswith("kfac-run: error: ")] or lines
        if not named:
            return f"kfac-run ended with exit code {self._process.returncode}"
        return named[-1].removeprefix("kfac-run: error: ")


def _starting(run: PlannedRun, folder: Path) -> list[str]:
    return [*run.words, f"hydra.run.dir={quoted(folder)}"]


def _resuming(folder: Path, seconds: float | None) -> list[str]:
    """The words that continue a run, with the seconds that it has in all."""
    limit = [] if seconds is None else [f"max_optimizer_seconds={seconds!r}"]
    return [f"resume={folder}", *limit]


def _last_metrics(folder: Path) -> dict[str, Any]:
    path = folder / METRICS_FILE
    rows = read_table(path) if path.exists() else []
    return {name: value for name, value in rows[-1].items() if value is not None} if rows else {}


def _read(planned: Sequence[PlannedRun], base: Path) -> list[Run]:
    runs, complaints = load_runs([base / run.name for run in planned])
    if complaints or len(runs) != len(planned):
        reason = complaints[0] if complaints else f"{shown_folder(base)}: a run is missing"
        raise UserError(reason)
    found = {run.folder.resolve(): run for run in runs}
    return [found[(base / run.name).resolve()] for run in planned]
