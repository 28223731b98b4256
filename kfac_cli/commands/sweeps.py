"""Sweeps: what a command line sweeps, in how many runs, and how its jobs rank at the end."""

import json
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep

from kfac_cli.errors import UserError, one_line, shown
from kfac_cli.files import shown_folder
from kfac_cli.recording.summary import SUMMARY_FILE
from kfac_cli.recording.values import as_finite, significant

MAX_JOBS = 100_000

MAX_RANKED = 20
"""Of more jobs than this the ranking at the end shows the best."""


class Job(NamedTuple):
    """A job of a sweep: its folder, and the settings that the sweep gave it."""

    folder: Path
    overrides: Sequence[str]


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


def sweep_ranking(jobs: Sequence[Job]) -> str:
    """The jobs by their best training errors, and the command that compares them, as lines."""
    results = [(_best_error(job.folder), number) for number, job in enumerate(jobs)]
    ordered = sorted(results, key=lambda each: (math.inf if each[0] is None else each[0], each[1]))
    common = set.intersection(*(set(job.overrides) for job in jobs))
    lines = ["", "  best training errors"]
    for error, number in ordered[:MAX_RANKED]:
        text = "none" if error is None else significant(error)
        what = " ".join(word for word in jobs[number].overrides if word not in common)
        lines.append(f"    {text:<8} {one_line(what)}  {shown_folder(jobs[number].folder)}")
    if len(jobs) > MAX_RANKED:
        lines.append(f"    and {len(jobs) - MAX_RANKED} more")
    sweep = str(shown_folder(jobs[0].folder.parent))
    lines += ["", f"  {shlex.join(['kfac-report', sweep])}  compares them"]
    return "\n".join(lines)


def _best_error(folder: Path) -> float | None:
    """The best training error in a job's summary; None if it has none."""
    try:
        summary = json.loads((folder / SUMMARY_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return as_finite(summary.get("best_train_error"))
