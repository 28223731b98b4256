"""Resuming a run from its latest checkpoint."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from kfac_cli.checkpoint.compatibility import (
    check_data,
    check_settings,
    reasons_for_inexact_resume,
    recorded_environment,
)
from kfac_cli.checkpoint.contents import Contents
from kfac_cli.checkpoint.folder import CheckpointFolder
from kfac_cli.config.device_kind import device_kind
from kfac_cli.config.schema import RunConfig
from kfac_cli.data.dataset import Dataset
from kfac_cli.engine.state_rules import StateError
from kfac_cli.errors import UserError, shown
from kfac_cli.files import replace_text, shown_folder
from kfac_cli.recording.environment import what_decides_seconds
from kfac_cli.recording.values import Row, iterations_done
from kfac_cli.run.history import History
from kfac_cli.run.session import Session, make_session

logger = logging.getLogger(__name__)

WRONG_STATE = (LookupError, TypeError, ValueError, RuntimeError, AttributeError)
"""What loading the state of another version can raise."""


@dataclass(frozen=True)
class SavedRun:
    """A run to resume, read and checked before anything in its folder changes.

    `contents` is None if it has no checkpoint, so that it starts from the beginning. `files` are
    those in its folder that change once it is certain that it can be resumed: name to text, or to
    None for one to be removed.
    """

    config: RunConfig
    folder: Path
    checkpoints: CheckpointFolder
    contents: Contents | None
    files: Mapping[str, str | None]

    @property
    def iteration(self) -> int:
        """The iteration from which the run resumes."""
        return 0 if self.contents is None else self.contents.iteration

    @property
    def times(self) -> Mapping[str, float]:
        """The times of the `History`; empty without a checkpoint."""
        return {} if self.contents is None else self.contents.times

    def session(self, dataset: Dataset, device: torch.device) -> Session:
        """The session at the checkpoint; the tensors held here are released.

        Logs a warning if the result may differ from that of an uninterrupted run. Raises UserError
        if the data differ.
        """
        contents = self.contents
        if contents is None:
            return make_session(self.config, dataset, device)
        check_data(contents.data, dataset)
        try:
            earlier = contents.session["earlier"]
            config = _with_its_chunks(self.config, contents, device)
            session = make_session(config, dataset, device, earlier)
            session.load_state_dict(contents.session)
        except StateError as error:
            raise _unusable(self.checkpoints, error) from error
        except WRONG_STATE as error:
            raise wrong_version(shown_folder(self.folder), error) from error
        for reason in reasons_for_inexact_resume(contents, self.config, session.environment):
            logger.warning("%s: the result may differ from that of an uninterrupted run", reason)
        session.mixed_environment = _mixed(contents, session.environment)
        contents.session.clear()
        return session

    def replace_files(self) -> None:
        """Replace and remove the folder's `files`. Raises OSError, naming the file."""
        for name, text in self.files.items():
            if text is None:
                (self.folder / name).unlink(missing_ok=True)
            else:
                replace_text(self.folder / name, text)


def read_saved_run(config: RunConfig, folder: Path, files: Mapping[str, str | None]) -> SavedRun:
    """The run in `folder`, to be resumed with `config`.

    Raises UserError if its checkpoints are damaged, or if `config` changes settings that must not
    change or has fewer iterations than were done.
    """
    checkpoints = CheckpointFolder(folder, config.checkpoint.keep)
    name = shown_folder(folder)
    tree = checkpoints.read()
    if tree is None:
        logger.info("%s has no checkpoint yet: starting from the beginning", name)
        return SavedRun(config, folder, checkpoints, None, files)
    try:
        contents = Contents.of(tree)
        History.times_rule()(contents.times, "times")
    except StateError as error:
        raise _unusable(checkpoints, error) from error
    except ValueError as error:
        raise wrong_version(name, error) from error
    check_settings(contents.config, config)
    if config.iterations < contents.iteration:
        raise UserError(
            f"iterations={config.iterations}: the run in {name} has already done "
            f"{contents.iteration}; set {contents.iteration} or more"
        )
    return SavedRun(config, folder, checkpoints, contents, files)


def check_evaluations(session: Session, rows: Sequence[Row]) -> None:
    """Compare the rows of evaluations.csv with the evaluations that a resumed session has done.

    Logs a warning if some are missing. An evaluation that was recorded after the checkpoint was
    written, at the same iteration, is included.
    """
    latest = session.best.latest
    if sum(iterations_done(row) <= latest for row in rows) != session.best.evaluations:
        logger.warning("evaluations.csv has no rows for some evaluations up to %d", latest)
    if rows and iterations_done(rows[-1]) == session.iteration > latest:
        session.include_evaluation(rows[-1])


def _mixed(saved: Contents, environment: Mapping[str, Any]) -> bool:
    """Whether the seconds of the run so far and those to come depend on different things.

    So they do for good if an earlier resumption made them.
    """
    before = recorded_environment(saved)
    same = what_decides_seconds(before) == what_decides_seconds(environment)
    return bool(before["mixed_environment"]) or not same


def _with_its_chunks(config: RunConfig, saved: Contents, device: torch.device) -> RunConfig:
    """The settings with the chunk size that `auto` stood for, on the same kind of device.

    The free memory of a GPU, which decides, is another one on resuming.
    """
    size = saved.environment.get("chunk_size")
    same = device_kind(saved.environment.get("device")) == device.type
    if not (isinstance(size, int) and same and saved.config.get("chunk_size") == "auto"):
        return config
    if config.optimizer.chunk_size != "auto":
        return config
    return replace(config, optimizer=replace(config.optimizer, chunk_size=size))


def _unusable(checkpoints: CheckpointFolder, error: StateError) -> UserError:
    name = shown_folder(checkpoints.latest_path)
    return UserError(f"{name}: cannot be used: {error}; remove it to resume from an older one")


def wrong_version(name: object, error: Exception) -> UserError:
    """The error for contents of a checkpoint that cannot be loaded; `name` says which."""
    reason = " ".join(str(error).split())
    return UserError(
        f"{name}: its checkpoint is from another version of kfac-run ({shown(reason)})"
    )
