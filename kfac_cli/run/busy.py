"""A warning at the beginning of a run that shares its processors with other programs."""

import logging
import os

import torch

from kfac_cli.engine.processes import ALONE, Processes
from kfac_cli.recording.processors import MIN_SECONDS, Load, busy_warning

logger = logging.getLogger(__name__)


class BusyCheck:
    """Warns once if other programs keep the processors busy, as soon as that can be told.

    `before` is the load at some moment before. There is nothing to warn of if the number of threads
    was chosen by the user, if a GPU computes, or if `processes` of the same run do.
    """

    def __init__(
        self,
        before: Load,
        device: torch.device,
        threads: int | None,
        processes: Processes = ALONE,
    ) -> None:
        self._before: Load | None = before
        if threads is not None or device.type != "cpu" or processes.count > 1:
            self._before = None

    def __call__(self) -> None:
        """Check, unless that is done or too little time has passed."""
        if self._before is None:
            return
        now = Load.now()
        if now.wall - self._before.wall < MIN_SECONDS:
            return
        line = busy_warning(self._before, now, torch.get_num_threads(), os.cpu_count() or 1)
        if line is not None:
            logger.warning(line)
        self._before = None
