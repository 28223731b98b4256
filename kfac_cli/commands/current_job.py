"""The job that Hydra runs now: its number, what a sweep gave it, whether others run beside it."""

import os
from collections.abc import Sequence

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from kfac_cli.commands.sweeps import swept_settings


def sweeping() -> bool:
    """Whether this job is one of a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


class CurrentJob:
    """Whichever job of a command runs now; `arguments` say what the command sweeps.

    Made in the process of the command, from which a parallel launcher copies it to its own.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._process = os.getpid()
        self._swept = swept_settings(arguments)

    def name(self) -> str:
        """The number of a job of a sweep and its values of what is swept."""
        return f"job {HydraConfig.get().job.num} ({' '.join(self.swept_words())})"

    def swept_words(self) -> list[str]:
        """What the sweep gave this job; nothing for a single run."""
        task = HydraConfig.get().overrides.task if sweeping() else []
        return [word for word in task if word.partition("=")[0] in self._swept]

    def beside_others(self) -> bool:
        """Whether a parallel launcher runs this in a process of its own."""
        return os.getpid() != self._process

    def label(self) -> str | None:
        """What each line of output begins with, if other jobs write to the same terminal."""
        return self.name() if self.beside_others() else None

    def turn(self) -> int | None:
        """The number of a job beside others."""
        return int(HydraConfig.get().job.num) if self.beside_others() else None
