"""A run's checkpoints: what it keeps while it runs, and what it takes up again."""

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
    """What an earlier part of a run left in `folder`; nothing yet if it ended before a checkpoint.

    `taken_up` is to be called once it is certain that the run goes on under `config`. Raises
    UserError if the checkpoints are damaged, or if settings are others that must not.
    """

    def __init__(self, config: RunConfig, folder: Path, taken_up: Callable[[], None]) -> None:
        self._config = config
        self._name = shown_folder(folder)
        self.taken_up = taken_up
        self.checkpoints = CheckpointFolder(folder)
        self._saved: Contents | None = None
        tree = self.checkpoints.read()
        if tree is None:
            logger.info("%s has no checkpoint yet: starting from the beginning", self._name)
            return
        try:
            self._saved = Contents.of(tree)
        except ValueError as error:
            raise self._of_another_version(error) from error
        check_settings(self._saved.config, config)

    @property
    def iteration(self) -> int:
        """The iteration from which the run goes on."""
        return 0 if self._saved is None else self._saved.iteration

    @property
    def times(self) -> dict[str, float]:
        """The time that the earlier part took, as `Recorder` wants it."""
        return {} if self._saved is None else self._saved.times

    def restore(self, session: Session) -> None:
        """Bring a new session to where the earlier part was; its tensors are given up here.

        Logs whether the end will be bit for bit that of an uninterrupted run. Raises UserError if
        the data are others.
        """
        saved = self._saved
        if saved is None:
            return
        check_data(saved.data, session.dataset)
        try:
            session.load_state_dict(saved.session)
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise self._of_another_version(error) from error
        saved.session.clear()
        now = environment(session.device)
        for reason in reasons_for_inexact_resume(saved, self._config, now):
            logger.warning(
                "%s: the result need not be bit for bit that of an uninterrupted run", reason
            )

    def _of_another_version(self, error: Exception) -> UserError:
        reason = " ".join(str(error).split())
        return UserError(
            f"{self._name}: its checkpoint is of another version of kfac-run ({shown(reason)})"
        )


class Saver:
    """Keeps what a session needs to be taken up again, when it is due and when it is told to."""

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
        """Save if so many iterations or minutes have gone by as the settings say."""
        when, iteration = self._config.checkpoint, self._session.iteration
        minutes = (time.perf_counter() - self._last_time) / 60
        by_count = when.every is not None and iteration > 0 and iteration % when.every == 0
        if by_count or (when.minutes is not None and minutes >= when.minutes):
            self.save()

    def save(self) -> None:
        """Write a checkpoint, unless there is one of this iteration.

        Raises OSError, naming the file; what was saved before is untouched then.
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
