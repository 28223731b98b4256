"""A run's checkpoints: writing them, and resuming from them."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kfac_cli.checkpoint.compatibility import (
    check_data,
    check_settings,
    fingerprint,
    reasons_for_inexact_resume,
)
from kfac_cli.checkpoint.contents import Contents
from kfac_cli.checkpoint.folder import CheckpointFolder
from kfac_cli.config.schema import RunConfig, flat_settings
from kfac_cli.errors import UserError, shown
from kfac_cli.files import shown_folder
from kfac_cli.recording.environment import environment
from kfac_cli.run.recorder import Recorder
from kfac_cli.run.session import Session

logger = logging.getLogger(__name__)


class SavedRun:
    """A run to be resumed from the latest checkpoint in `folder`, or from the start without one.

    `on_resume` is called once the run has been restored and its tables opened. Raises UserError if
    the checkpoints are damaged, or if `config` changes settings that must not change.
    """

    def __init__(self, config: RunConfig, folder: Path, on_resume: Callable[[], None]) -> None:
        self._config = config
        self._name = shown_folder(folder)
        self.on_resume = on_resume
        self.checkpoints = CheckpointFolder(folder)
        self._contents: Contents | None = None
        tree = self.checkpoints.read()
        if tree is None:
            logger.info("%s has no checkpoint yet: starting from the beginning", self._name)
            return
        try:
            self._contents = Contents.of(tree)
        except ValueError as error:
            raise self._wrong_version(error) from error
        check_settings(self._contents.config, config)

    @property
    def iteration(self) -> int:
        """The iteration from which the run resumes."""
        return 0 if self._contents is None else self._contents.iteration

    @property
    def times(self) -> dict[str, float]:
        """The state of the `Recorder`; empty without a checkpoint."""
        return {} if self._contents is None else self._contents.times

    def restore(self, session: Session) -> None:
        """Load the saved state into a new session; the tensors held here are released.

        Logs a warning if the result may differ from that of an uninterrupted run. Raises UserError
        if the data differ.
        """
        contents = self._contents
        if contents is None:
            return
        check_data(contents.data, session.dataset)
        try:
            session.load_state_dict(contents.session)
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise self._wrong_version(error) from error
        contents.session.clear()
        now = environment(session.device)
        for reason in reasons_for_inexact_resume(contents, self._config, now):
            logger.warning("%s: the result may differ from that of an uninterrupted run", reason)

    def _wrong_version(self, error: Exception) -> UserError:
        reason = " ".join(str(error).split())
        return UserError(
            f"{self._name}: its checkpoint is from another version of kfac-run ({shown(reason)})"
        )


class Saver:
    """Writes checkpoints of a session."""

    def __init__(
        self,
        config: RunConfig,
        checkpoints: CheckpointFolder,
        session: Session,
        recorder: Recorder,
    ) -> None:
        self._config = config
        self._checkpoints = checkpoints
        self._session = session
        self._recorder = recorder
        self._last_time = time.perf_counter()
        self._constant: dict[str, Any] | None = None

    def save_if_due(self) -> None:
        """Save if `checkpoint.every` iterations or `checkpoint.minutes` have passed."""
        when, iteration = self._config.checkpoint, self._session.iteration
        minutes = (time.perf_counter() - self._last_time) / 60
        by_count = when.every is not None and iteration > 0 and iteration % when.every == 0
        if by_count or (when.minutes is not None and minutes >= when.minutes):
            self.save()

    def save(self) -> None:
        """Write a checkpoint if this iteration has none.

        Raises OSError, naming the file; older checkpoints are then unchanged.
        """
        iteration = self._session.iteration
        if self._checkpoints.latest == iteration:
            return
        with self._recorder.clock("logging"):
            if self._constant is None:
                self._constant = {
                    "config": flat_settings(self._config),
                    "environment": environment(self._session.device),
                    "data": fingerprint(self._session.dataset),
                }
            contents = Contents(
                iteration=iteration,
                times=self._recorder.state_dict(),
                session=self._session.state_dict(),
                **self._constant,
            )
            self._checkpoints.write(iteration, contents.tree())
        self._last_time = time.perf_counter()
