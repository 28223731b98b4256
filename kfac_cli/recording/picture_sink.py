"""The picture of a run as a sink: run.png, drawn at the end from the tables."""

from pathlib import Path

from kfac_cli.recording.csv_table import read_table
from kfac_cli.recording.figure import draw_run
from kfac_cli.recording.pictures import PICTURE_FILE, Examples
from kfac_cli.recording.sink import Sink, Summary
from kfac_cli.recording.summary import DIVERGED
from kfac_cli.recording.tables import EVALUATIONS_FILE, METRICS_FILE


class PictureSink(Sink):
    """Draws the tables in `folder` and the examples, if the run was evaluated at all.

    `error_name` is what the run's error is called.
    """

    def __init__(self, folder: Path, examples: Examples, error_name: str) -> None:
        self._folder = folder
        self._examples = examples
        self._error_name = error_name

    def finish(self, summary: Summary) -> None:
        evaluations = read_table(self._folder / EVALUATIONS_FILE)
        if not evaluations:
            return
        shape = self._examples.image_shape
        originals, reconstructions = (None, None) if shape is None else self._examples.pairs()
        draw_run(
            self._folder / PICTURE_FILE,
            read_table(self._folder / METRICS_FILE),
            evaluations,
            originals,
            reconstructions,
            shape,
            f"{summary['title']}{', diverged' if summary['status'] == DIVERGED else ''}",
            self._error_name,
        )
