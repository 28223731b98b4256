"""The TensorBoard log of a run as a sink: each row, pictures, and at the end hyperparameters."""

from collections.abc import Mapping
from pathlib import Path

from kfac_cli.recording.pictures import Examples
from kfac_cli.recording.sink import Sink, Summary
from kfac_cli.recording.summary import BEST
from kfac_cli.recording.tensorboard import TensorBoardLog
from kfac_cli.recording.values import Row, iterations_done


class TensorBoardSink(Sink):
    """Writes event files into `folder`/tensorboard.

    `settings` are the dotted names and values of the HPARAMS tab, `examples` what is drawn after
    each evaluation. With `keep_until`, what a resumed run wrote after this iteration is discarded.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, object],
        examples: Examples,
        keep_until: int | None = None,
    ) -> None:
        first = None if keep_until is None else keep_until + 1
        self._log = TensorBoardLog(folder / "tensorboard", purge_step=first)
        self._settings = settings
        self._examples = examples

    def iteration(self, row: Row) -> None:
        self._log.iteration(row)

    def evaluation(self, row: Row) -> None:
        self._log.evaluation(row)
        if self._examples.image_shape is not None:
            self._log.images(
                iterations_done(row), *self._examples.pairs(), self._examples.image_shape
            )

    def flush(self) -> None:
        self._log.flush()

    def finish(self, summary: Summary) -> None:
        # One past the end: resuming the run purges them.
        after = summary["iterations"] + 1
        self._log.hyperparameters(self._settings, {name: summary[name] for name in BEST}, after)

    def close(self) -> None:
        self._log.close()
