"""kfac-run -m resume=SWEEP_FOLDER: run what is missing of a sweep.

The sweep's multirun.yaml, which Hydra writes, has the words of the command line that started it.
With the same words Hydra lists the same jobs under the same numbers; those that have ended are
skipped, those with a folder are resumed and the others started. Options of Hydra, such as the
launcher, are not taken from the folder, whose origin may be unknown: some name code to be run.
"""

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins import basic_sweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from kfac_cli.commands.hydra_record import SWEEP_FILE
from kfac_cli.commands.messages import unreadable
from kfac_cli.commands.quoting import quoted
from kfac_cli.commands.resume import KEYWORD, folder_named
from kfac_cli.commands.sweeps import swept_settings
from kfac_cli.config.completion import absolute_path
from kfac_cli.config.settings_file import CONFIG_FILE, read_settings
from kfac_cli.errors import UserError, shown
from kfac_cli.files import current_folder, shown_folder

FREE = ("hydra.sweep.dir=", "hydra/launcher=", "hydra.launcher.", "hydra.mode=", "hydra.job.chdir=")
"""Options of Hydra that change neither the jobs nor the names of their folders."""

DATA_DIR = "data_dir="

WRITTEN_BY_US = ("hydra.output_subdir=null",)


@dataclass(frozen=True)
class SavedSweep:
    """A sweep to resume: its folder, the words of its grid and the options of Hydra it had."""

    folder: Path
    grid: tuple[str, ...]
    options: tuple[str, ...]
    started_in: Path


def sweep_to_resume(arguments: Sequence[str]) -> SavedSweep | None:
    """The sweep whose folder follows resume=; None if there is no resume=.

    Raises UserError if the folder holds no sweep.
    """
    folder = folder_named(arguments)
    if folder is None:
        return None
    argument = f"{KEYWORD}{shown(str(shown_folder(folder)))}"
    path = folder / SWEEP_FILE
    if not path.is_file():
        alone = (folder / CONFIG_FILE).is_file()
        advice = "it holds a single run; remove -m" if alone else "-m resumes sweeps"
        raise UserError(f"{argument}: has no {SWEEP_FILE}: {advice}")
    recorded = read_settings(path, interpolations=True)
    grid, options = (_words(recorded, f"hydra.overrides.{kind}") for kind in ("task", "hydra"))
    started_in = OmegaConf.select(recorded, "hydra.runtime.cwd")
    if grid is None or options is None or not isinstance(started_in, str):
        raise UserError(f"{argument}: its {SWEEP_FILE} is not the record of a sweep")
    return SavedSweep(folder, grid, options, Path(started_in))


def moved_data(sweep: SavedSweep, arguments: Sequence[str]) -> list[str]:
    """The word that says where the data are now, if there is one, with an absolute path.

    Where either has several, none takes the place of others. Raises UserError for a wrong word.
    """
    given = [word for word in arguments if word.startswith(DATA_DIR)]
    if not given or "data_dir" in swept_settings(sweep.grid):
        return []
    try:
        word = OverridesParser.create().parse_override(given[-1])
    except Exception as error:
        raise UserError(unreadable(given[-1:]) or f"{shown(given[-1])}: cannot be read") from error
    if word.is_sweep_override():
        return []
    return [f"{DATA_DIR}{quoted(absolute_path('data_dir', str(word.value())))}"]


def check_unchanged(sweep: SavedSweep, arguments: Sequence[str]) -> None:
    """Raise UserError unless the command line leaves the grid and its folders as they are.

    The grid may be repeated as it was, but for where its data are. Options of Hydra that name the
    jobs' folders must be.
    """
    words = [word for word in arguments if not word.startswith(KEYWORD)]
    given, grid = [word for word in words if not _is_hydras(word)], list(sweep.grid)
    if moved_data(sweep, words):
        given, grid = ([w for w in some if not w.startswith(DATA_DIR)] for some in (given, grid))
    if given and given != grid:
        raise UserError(
            f"{shown(_changed(given, sweep.grid))}: a resumed sweep keeps its grid, "
            f"{shown(shlex.join(sweep.grid))}; leave out the settings, or start another sweep"
        )
    needed = [word for word in sweep.options if word not in WRITTEN_BY_US and not _is_free(word)]
    repeated = [word for word in words if _is_hydras(word) and not _is_free(word)]
    for word in dict.fromkeys([*needed, *repeated]):
        if word not in repeated:
            raise UserError(
                f"{KEYWORD}{shown(str(shown_folder(sweep.folder)))}: the sweep was started with "
                f"{shown(word)}, which can name its folders; repeat it on the command line"
            )
        if word not in needed:
            raise UserError(f"{shown(word)}: the sweep was started without it; leave it out")


def _is_hydras(word: str) -> bool:
    return word.lstrip("+~").startswith("hydra")


def _is_free(word: str) -> bool:
    return word.lstrip("+~").startswith(FREE)


@contextmanager
def command_line(sweep: SavedSweep, moved: Sequence[str] = ()) -> Iterator[None]:
    """Have Hydra read the words that started the sweep, with its folder, where it was started.

    There relative paths mean what they meant then; `moved` says where its data are now. The sweep's
    record stays as it is: Hydra would write it again, and a full disk or a kill would leave none.
    """
    before = sys.argv
    ours = (KEYWORD, "hydra.sweep.dir=", *([DATA_DIR] if moved else []))
    words = [word for word in sys.argv[1:] if word not in sweep.grid and not word.startswith(ours)]
    grid = [word for word in sweep.grid if not (moved and word.startswith(DATA_DIR))]
    folder = f"hydra.sweep.dir={quoted(sweep.folder)}"
    sys.argv = [sys.argv[0], *words, *grid, *moved, folder]
    there = sweep.started_in if sweep.started_in.is_dir() else Path.cwd()
    try:
        with current_folder(there), _record_kept():
            yield
    finally:
        sys.argv = before


class _Unsaved(OmegaConf):
    """OmegaConf as the sweeper has it, which saves nothing but the sweep's record."""

    @staticmethod
    def save(*_: object, **__: object) -> None:
        return


@contextmanager
def _record_kept() -> Iterator[None]:
    basic_sweeper.OmegaConf = _Unsaved  # type: ignore[attr-defined]
    try:
        yield
    finally:
        basic_sweeper.OmegaConf = OmegaConf  # type: ignore[attr-defined]


def _words(recorded: Any, name: str) -> tuple[str, ...] | None:
    words = OmegaConf.select(recorded, name)
    if not OmegaConf.is_list(words):
        return None
    plain = OmegaConf.to_container(words, resolve=False)
    assert isinstance(plain, list)
    return tuple(plain) if all(isinstance(word, str) for word in plain) else None


def _changed(given: Sequence[str], grid: Sequence[str]) -> str:
    """The first word that the grid does not have, or else the words in their other order."""
    return next((word for word in given if word not in grid), shlex.join(given))
