"""The progress display of a run as a sink."""

from kfac_cli.recording.progress import Progress
from kfac_cli.recording.sink import Sink, Summary
from kfac_cli.recording.values import Row, SecondsLeft


class TerminalSink(Sink):
    """Shows each row on a display that has been started, and closes it at the end of the run."""

    def __init__(self, progress: Progress, seconds_left: SecondsLeft) -> None:
        self._progress = progress
        self._seconds_left = seconds_left

    def iteration(self, row: Row) -> None:
        self._progress.iteration(row, self._seconds_left)

    def evaluation(self, row: Row) -> None:
        self._progress.evaluation(row)

    def finish(self, summary: Summary) -> None:
        self._progress.close()
