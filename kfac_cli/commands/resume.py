"""kfac-run resume=RUN_FOLDER [SETTING=VALUE ...]: which run to resume, and its settings.

Hydra does not see resume=, which is no setting: the folder is the text after the =, whatever its
characters, and the settings are the folder's config.yaml with the changes on the command line.
Nothing here needs torch.
"""

import json
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kfac_cli.checkpoint.compatibility import check_settings
from kfac_cli.checkpoint.folder import checkpoint_iterations
from kfac_cli.commands.messages import unreadable
from kfac_cli.commands.run_log import LOG_FILE, RunLog
from kfac_cli.config.completion import complete
from kfac_cli.config.compose import packaged_log_format
from kfac_cli.config.names import GROUPS, suggestion
from kfac_cli.config.schema import RunConfig, flat_settings
from kfac_cli.config.settings_file import CONFIG_FILE, read_settings, settings_text
from kfac_cli.config.validation import MissingOptionError, validate
from kfac_cli.errors import LogLine, UserError, shown
from kfac_cli.files import shown_folder, typed_path
from kfac_cli.recording.summary import FAILED, SUMMARY_FILE, TARGET_MISSED, TARGET_REACHED
from kfac_cli.run.stopping import status_at

KEYWORD = "resume="

KEPT_NONE = "checkpoint.keep=0 keeps none once a run has ended as planned"


@dataclass(frozen=True)
class Resumption:
    """A run to resume: its folder, its settings with the changes, and these as its config.yaml."""

    folder: Path
    config: RunConfig
    settings: str


def folder_named(arguments: Sequence[str]) -> Path | None:
    """The folder after resume= in the command line's arguments; None if there is no resume=.

    Raises UserError if there is no such folder.
    """
    named = [text.removeprefix(KEYWORD) for text in arguments if text.startswith(KEYWORD)]
    if not named:
        return None
    if len(named) > 1:
        raise UserError(f"{KEYWORD}{shown(named[1])}: one folder at a time")
    text = named[0]
    if len(text) > 1 and text[0] == text[-1] in "'\"" and not _is_folder(text):
        text = text[1:-1]  # quoted as for Hydra
    if not text:
        raise UserError(f"{KEYWORD}: must be followed by the folder of a run")
    if not _is_folder(_folder(text)):
        raise UserError(f"{KEYWORD}{shown(text)}: no such folder")
    return _folder(text)


def folder_to_resume(arguments: Sequence[str]) -> Path | None:
    """The folder of the run after resume=; None if there is no resume=.

    Raises UserError if it holds no run, or contains links.
    """
    folder = folder_named(arguments)
    if folder is None:
        return None
    if not (folder / CONFIG_FILE).is_file():
        argument = f"{KEYWORD}{shown(str(shown_folder(folder)))}"
        jobs = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG_FILE}"))
        hint = f"; -m resumes a sweep, or resume one of its folders {shown(jobs)}" if jobs else ""
        raise UserError(f"{argument}: holds no run: it has no {CONFIG_FILE}{hint}")
    refuse_links(folder)
    return folder


def prepare_resumption(folder: Path, arguments: Sequence[str]) -> Resumption:
    """The run in a folder with the changes on the command line, checked; nothing is written.

    Raises UserError for changes that are malformed or not allowed.
    """
    path = folder / CONFIG_FILE
    changes = [_parsed(argument) for argument in arguments if not argument.startswith(KEYWORD)]
    settings = read_settings(path)
    if "dataset" in settings and "preset" not in settings:
        raise UserError(f"{path}: was written by an earlier version, whose runs cannot be resumed")
    try:
        before = validate(settings)
    except MissingOptionError as error:
        raise UserError(
            f"{path}: has no {error.option}: it was written by an earlier version, whose runs "
            "cannot be resumed"
        ) from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if not any(change.key_or_group == "data_dir" for change in changes):
        _check_data_dir(path, before)
    for change in changes:
        _apply(settings, change)
    check_settings(flat_settings(before), validate(settings))  # paths as they were typed
    config = complete(settings)
    return Resumption(folder, config, settings_text(settings))


class Ending(NamedTuple):
    """How a run ended: status, iterations, best training error (infinite without a finite one)."""

    status: str
    iterations: int
    best_train_error: float


def read_ending(folder: Path) -> Ending | None:
    """How the run in a folder ended; None if it was killed or its summary cannot be read."""
    try:
        summary = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
        best = summary["best_train_error"]
        return Ending(
            str(summary["status"]),
            int(summary["iterations"]),
            math.inf if best is None else float(best),
        )
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None


def reason_not_to_resume(resumption: Resumption) -> str | None:
    """A sentence if the run has ended and would end the same now; None if it can be resumed.

    Raises UserError if the run has ended and left no checkpoint, or without reaching a required
    target.
    """
    folder, config = resumption.folder, resumption.config
    ending = read_ending(folder)
    if ending is None or ending.status == FAILED:
        return None  # it did not come to its end
    status, done, error = ending
    name = shown_folder(folder)
    ended = f"{name}: {status} after {done} iterations"
    if done <= config.iterations and status == status_at(config, done, error):
        if status == TARGET_REACHED and checkpoint_iterations(folder):
            return f"{ended}; a smaller target_error=E or null continues it"
        sentence = f"{ended}; a larger iterations=N continues it"
        if not checkpoint_iterations(folder):
            sentence = f"{ended}; it holds no checkpoint, so that nothing continues it"
        if status == TARGET_MISSED and config.require_target:
            raise UserError(sentence)
        return sentence
    if not checkpoint_iterations(folder):
        why = f" ({KEPT_NONE})" if config.checkpoint.keep == 0 else ""
        raise UserError(f"{name}: has ended and holds no checkpoint to resume from{why}")
    return None


@contextmanager
def logging_to(folder: Path) -> Iterator[None]:
    """Log to the run's log file, and warnings to the terminal, in the format of a new run."""
    file = RunLog(str(folder / LOG_FILE))
    file.begin()
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.WARNING)
    handlers: tuple[logging.Handler, ...] = (file, terminal)
    formatter = LogLine(packaged_log_format())
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.INFO)
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    try:
        yield
    finally:
        root.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)
            with suppress(OSError):  # closing retries a line that could not be written
                handler.close()


def _folder(text: str) -> Path:
    """The folder of that name, or the one that ~ in it stands for."""
    with suppress(RuntimeError):
        return Path(text).absolute() if _is_folder(text) else typed_path(text)
    return Path(text).absolute()


def _is_folder(text: str | Path) -> bool:
    try:
        return Path(text).is_dir()
    except (OSError, ValueError):  # not a possible name of a file
        return False


def refuse_links(folder: Path) -> None:
    """An untrusted folder must not redirect writes out of itself or into a pipe."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise UserError(f"{path}: is a link; remove it, or replace it by what it points to")
        if not (path.is_file() or path.is_dir()):
            raise UserError(f"{path}: is neither a file nor a folder; remove it")


def _check_data_dir(path: Path, config: RunConfig) -> None:
    """Data are not downloaded into a folder that only an untrusted config.yaml names."""
    name = config.dataset.FOLDER
    if config.data_dir is None or name is None:
        return
    if not (Path(config.data_dir).expanduser() / name).is_dir():
        raise UserError(
            f"{path}: data_dir={shown(config.data_dir)}: has no folder {name} with the run's data; "
            "add data_dir=FOLDER to the command line"
        )


def _parsed(argument: str) -> Override:
    try:
        override = OverridesParser.create().parse_override(argument)
    except Exception as error:
        raise UserError(unreadable([argument]) or f"{shown(argument)}: cannot be read") from error
    key = override.key_or_group
    if key in GROUPS:
        raise UserError(f"{shown(argument)}: a resumed run keeps its {key}; remove this")
    if override.is_sweep_override():
        raise UserError(f"{shown(argument)}: several values, but {KEYWORD} continues one run")
    if override.is_add() or override.is_delete() or override.package is not None:
        raise UserError(f"{shown(argument)}: with {KEYWORD}, write SETTING=VALUE")
    return override


def _apply(settings: DictConfig, change: Override) -> None:
    key: str = change.key_or_group
    missing = object()
    try:
        if OmegaConf.select(settings, key, default=missing) is missing:
            raise UserError(f"{shown(change.input_line)}: no such setting{suggestion(key)}")
        OmegaConf.update(settings, key, change.value(), merge=True)
    except OmegaConfBaseException as error:
        reason = " ".join(str(error).partition("full_key:")[0].split())
        raise UserError(f"{shown(change.input_line)}: {reason}") from error
