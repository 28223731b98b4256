"""Sweeps: what a command line sweeps, in how many runs, and how its jobs rank at the end."""

import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep

from kfac_cli.commands.job_folders import find_job
from kfac_cli.commands.resume import read_ending
from kfac_cli.config.compose import composed
from kfac_cli.errors import UserError, one_line, shown
from kfac_cli.files import shown_folder
from kfac_cli.recording.layout import command_with_purpose
from kfac_cli.recording.summary import DIVERGED, FAILED
from kfac_cli.recording.values import significant

MAX_JOBS = 100_000

LOST = (DIVERGED, FAILED)
"""Endings of a job without an error that counts."""

MAX_RANKED = 20
"""Of more jobs than this the ranking at the end shows the best."""


class Job(NamedTuple):
    """A job of a sweep: its folder, what the sweep gave it, its best error or infinity."""

    folder: Path
    overrides: Sequence[str]
    best_train_error: float


def check_sweep(overrides: Sequence[str]) -> None:
    """Raise UserError for a sweep of no runs, or of more than MAX_JOBS.

    Hydra lists all runs before it starts the first.
    """
    parser = OverridesParser.create()
    jobs = 1.0
    for argument in overrides:
        try:
            jobs *= _values(parser.parse_override(argument))
        except Exception:  # Hydra will report it
            return
        if jobs == 0:
            raise UserError(f"{shown(argument)}: has no values")
        if not jobs <= MAX_JOBS:
            raise UserError(
                f"{shown(argument)}: gives more than {MAX_JOBS} runs, the maximum of a sweep"
            )


def swept_settings(overrides: Sequence[str]) -> set[str]:
    """The settings and groups that have several values on a command line."""
    parser, names = OverridesParser.create(), set()
    for argument in overrides:
        try:
            override = parser.parse_override(argument)
        except Exception:  # an option, or Hydra will report it
            continue
        if override.is_sweep_override():
            names.add(override.get_key_element())
    return names


def _values(override: Override) -> float:
    """How many values an override has; infinity for an endless range."""
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return len(value.list)
    if isinstance(value, RangeSweep):
        start, stop, step = (float(part or 0) for part in (value.start, value.stop, value.step))
        steps = (stop - start) / step if step != 0 else math.inf
        return max(0.0, steps) if not math.isnan(steps) else math.inf
    return 1


def naming_folder(overrides: Sequence[str]) -> list[str]:
    """Those overrides that name the folder of a sweep, in place of a new one."""
    return [word for word in overrides if word.lstrip("+").startswith("hydra.sweep.dir=")]


def sweep_folder(overrides: Sequence[str]) -> Path | None:
    """The folder of a sweep; None if it cannot be composed without the sweep."""
    try:
        return Path(composed(naming_folder(overrides), hydra=True).hydra.sweep.dir).absolute()
    except Exception:  # Hydra reports it
        return None


def jobs_in(sweep: Path, overrides: Sequence[str]) -> list[Job]:
    """The jobs of a sweep that have ended, by the summaries in their folders.

    A run that diverged or failed has no error that counts.
    """
    parser = OverridesParser.create()
    try:
        parsed = [parser.parse_override(word) for word in overrides]
        task = [override for override in parsed if not override.is_hydra_override()]
        [every] = BasicSweeper.split_arguments(task, None)
    except Exception:  # Hydra has reported it
        return []
    found = ((find_job(sweep, number), words) for number, words in enumerate(every))
    endings = [(f, words, read_ending(f)) for f, words in found if f is not None]
    return [
        Job(folder, words, math.inf if ending.status in LOST else ending.best_train_error)
        for folder, words, ending in endings
        if ending is not None
    ]


def sweep_ranking(jobs: Sequence[Job], sweep: Path) -> str:
    """The jobs by their best training errors, and the command that compares them, as lines."""
    ordered = sorted((job.best_train_error, number) for number, job in enumerate(jobs))
    common = set.intersection(*(set(job.overrides) for job in jobs))
    lines = ["", "  best training errors"]
    for error, number in ordered[:MAX_RANKED]:
        text = significant(error) if math.isfinite(error) else "none"
        what = " ".join(word for word in jobs[number].overrides if word not in common)
        lines.append(f"    {text:<8} {one_line(what)}  {shown_folder(jobs[number].folder)}")
    if len(jobs) > MAX_RANKED:
        lines.append(f"    and {len(jobs) - MAX_RANKED} more")
    command = shlex.join(["kfac-report", str(shown_folder(sweep))])
    lines += ["", command_with_purpose(command, "compares them", sys.stdout)]
    return "\n".join(lines)
