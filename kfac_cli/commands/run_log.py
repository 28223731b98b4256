"""run.log: the log of the run in a folder."""

import logging
from pathlib import Path

from kfac_cli.files import open_for_appending

LOG_FILE = "run.log"


class RunLog(logging.FileHandler):
    """Appends log records to a file, from `begin` on.

    Records before that are kept: Hydra makes the handler before the run's folder is checked, and
    nothing may be written into a folder that is refused.
    """

    def __init__(self, filename: str) -> None:
        super().__init__(filename, encoding="utf-8", delay=True)
        self._held: list[logging.LogRecord] | None = []

    def begin(self) -> None:
        """Open the file and write the records so far; raises OSError if it cannot be opened."""
        if self._held is None:
            return
        self.stream = open_for_appending(Path(self.baseFilename))
        held, self._held = self._held, None
        for record in held:
            super().emit(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or keep it until `begin`."""
        if self._held is not None:
            self._held.append(record)
        elif self.stream is not None:
            super().emit(record)


def begin_logs() -> None:
    """Begin the logs that Hydra made for this job."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, RunLog):
            handler.begin()
