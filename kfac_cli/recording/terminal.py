"""The progress display of a run as a sink."""

from collections.abc import Callable

from kfac_cli.recording.progress import Progress
from kfac_cli.recording.sink import Sink, Summary
from kfac_cli.recording.values import Row


class TerminalSink(Sink):
    """Shows each row on a display that has been started, and closes it at the end of the run.

    `seconds_left` estimates the time from now to the end; None if it cannot.
    """

    def __init__(self, progress: Progress, seconds_left: Callable[[], float | None]) -> None:
        self._progress = progress
        self._seconds_left = seconds_left

    def iteration(self, row: Row) -> None:
        self._progress.iteration(row, self._seconds_left())

    def evaluation(self, row: Row) -> None:
        self._progress.evaluation(row)

    def finish(self, summary: Summary) -> None:
        self._progress.close()
