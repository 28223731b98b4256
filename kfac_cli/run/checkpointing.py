"""Writing a run's checkpoints."""

import logging
import time
from typing import Any

from kfac_cli.checkpoint.contents import Contents
from kfac_cli.checkpoint.folder import CheckpointFolder
from kfac_cli.config.schema import RunConfig, flat_settings
from kfac_cli.engine.parameters import all_finite
from kfac_cli.run.recorder import Recorder
from kfac_cli.run.session import Session

logger = logging.getLogger(__name__)


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
        self._saved = checkpoints.latest, session.best.evaluations
        self._constant: dict[str, Any] | None = None

    def save_if_due(self) -> None:
        """Save if `checkpoint.every` iterations or `checkpoint.minutes` have passed."""
        when, iteration = self._config.checkpoint, self._session.iteration
        minutes = (time.perf_counter() - self._last_time) / 60
        by_count = when.every is not None and iteration > 0 and iteration % when.every == 0
        if by_count or (when.minutes is not None and minutes >= when.minutes):
            self.save()

    def save(self) -> None:
        """Write a checkpoint if this iteration has none, or one from before its evaluation.

        Parameters that are not finite are of no use to a resumed run: an older checkpoint is.

        Raises OSError, naming the file; older checkpoints are then unchanged.
        """
        iteration = self._session.iteration
        state = iteration, self._session.best.evaluations
        if self._saved == state:
            return
        if not all_finite(self._session.optimizer.parameters):
            logger.warning(
                "no checkpoint at iteration %d: its parameters are not finite", iteration
            )
            return
        with self._recorder.clock("logging"):
            if self._constant is None:
                self._constant = {
                    "config": flat_settings(self._config),
                    "environment": self._session.environment,
                    "data": self._session.dataset.fingerprint,
                }
            contents = Contents(
                iteration=iteration,
                times=self._recorder.state_dict(),
                session=self._session.state_dict(),
                **self._constant,
            )
            self._checkpoints.write(iteration, contents.tree())
        self._saved = state
        self._last_time = time.perf_counter()
