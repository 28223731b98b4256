"""The summary of a run as a sink: summary.json, and the text printed at the end."""

from collections.abc import Callable
from pathlib import Path

from kfac_cli.recording.progress import Progress
from kfac_cli.recording.sink import Sink, Summary
from kfac_cli.recording.summary import write_summary


class SummarySink(Sink):
    """Writes summary.json into `folder`, and has `progress` print how the run ended.

    `written` is called in between: the results are then complete. Raises OSError if the file cannot
    be written.
    """

    def __init__(self, folder: Path, progress: Progress, written: Callable[[], None]) -> None:
        self._folder = folder
        self._progress = progress
        self._written = written

    def finish(self, summary: Summary) -> None:
        write_summary(self._folder, summary)
        self._written()
        self._progress.ended(summary, self._folder)
