"""The summary of a run as a sink: summary.json, and the text printed at the end."""

from pathlib import Path

from kfac_cli.recording.sink import Sink, Summary
from kfac_cli.recording.summary import terminal_summary, write_summary


class SummarySink(Sink):
    """Writes summary.json into `folder`, and prints how the run ended and what is in the folder.

    Raises OSError if the file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def finish(self, summary: Summary) -> None:
        write_summary(self._folder, summary)
        print(terminal_summary(summary, self._folder), flush=True)
