"""Keep Hydra from recording the settings, which could replace the record of another run."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kfac_cli.commands.sweeps import naming_folder, sweep_folder
from kfac_cli.config.settings_file import CONFIG_FILE
from kfac_cli.errors import UserError, shown
from kfac_cli.files import shown_folder

SETTING = "hydra.output_subdir"
SWEEP_FILE = "multirun.yaml"


def refuse_output_subdir(overrides: Sequence[str]) -> None:
    """Refuse a folder for Hydra's own record of the settings: it could be that of any run."""
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if key == SETTING or (key.startswith("hydra.sweeper") and SETTING in override):
            reason = f"cannot be set; the settings of a run are recorded in its {CONFIG_FILE}"
            raise UserError(f"{shown(override)}: {reason}")


def refuse_used_sweep_folder(overrides: Sequence[str]) -> None:
    """Refuse a sweep in the folder of a run or of another sweep, whose record it would replace.

    The record of a sweep that was refused before its first job is no sweep.
    """
    folder = sweep_folder(overrides) if naming_folder(overrides) else None
    if folder is None:
        return
    for name, what in ((CONFIG_FILE, "a run"), (SWEEP_FILE, "another sweep")):
        if (folder / name).exists() and (name == CONFIG_FILE or _has_jobs(folder)):
            place = shown(str(shown_folder(folder)))
            raise UserError(f"hydra.sweep.dir={place}: holds {what}; choose a new folder")


def _has_jobs(folder: Path) -> bool:
    return any(each.is_dir() for each in folder.iterdir())


@contextmanager
def without_record(options: argparse.Namespace) -> Iterator[None]:
    """Have Hydra write no record of its own, and print settings with their values."""
    before, words = sys.argv, list(sys.argv)
    if options.info is None:  # which would take the word for its argument
        last = options.overrides[-1:]
        place = len(words) - words[::-1].index(last[0]) if last else len(words)
        words.insert(place, f"{SETTING}=null")
    if options.cfg == "job" and not options.resolve:
        words.insert(1, "--resolve")  # values, not where they are read from
    sys.argv = words
    try:
        yield
    finally:
        sys.argv = before
