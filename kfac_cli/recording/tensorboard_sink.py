"""The TensorBoard log of a run as a sink: each row, pictures, and at the end hyperparameters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kfac_cli.files import safe_name
from kfac_cli.recording.csv_table import read_table
from kfac_cli.recording.metrics import EVALUATION_METRICS, ITERATION_METRICS
from kfac_cli.recording.pictures import Examples
from kfac_cli.recording.sink import Sink, Summary
from kfac_cli.recording.tables import EVALUATIONS_FILE, METRICS_FILE
from kfac_cli.recording.tensorboard import TensorBoardLog
from kfac_cli.recording.values import Row, as_finite, iterations_done

FOLDER = "tensorboard"
EVENTS = "events.out.tfevents.*"


class TensorBoardSink(Sink):
    """Writes event files into a folder in `folder`/tensorboard that is named by `legend_name`.

    `settings` are the dotted names and values of the HPARAMS tab, `swept` the words that
    distinguish a job of a sweep, `examples` what is drawn after each evaluation. With `keep_until`,
    what a resumed run wrote after this iteration is discarded.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, object],
        examples: Examples,
        keep_until: int | None = None,
        swept: Sequence[str] = (),
    ) -> None:
        first = None if keep_until is None else keep_until + 1
        self._log = TensorBoardLog(_events_folder(folder, settings, swept), purge_step=first)
        self._settings = settings
        self._examples = examples
        if keep_until is not None:
            self._repeat_by_cases(folder, keep_until)

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
        self._log.hyperparameters(self._settings, results(summary), after, str(summary["status"]))

    def close(self) -> None:
        self._log.close()

    def _repeat_by_cases(self, folder: Path, keep_until: int) -> None:
        """Write the earlier curves over the cases again.

        TensorBoard discards by the step, whatever it counts, and cases are larger than iterations.
        """
        for file, metrics in (
            (METRICS_FILE, ITERATION_METRICS),
            (EVALUATIONS_FILE, EVALUATION_METRICS),
        ):
            for row in read_table(folder / file):
                if (as_finite(row.get("cases")) or 0) > keep_until:
                    self._log.by_cases(row, metrics)


def results(summary: Summary) -> dict[str, Any]:
    """The results of a run that the HPARAMS tab shows; iterations_to_target only with a target."""
    target = summary.get("target") or {}
    return {
        "best_test_error": summary.get("best_test_error"),
        "best_train_error": summary.get("best_train_error"),
        "iterations_to_target": target.get("iteration"),
        "seconds": summary.get("seconds"),
        "best_iteration": summary.get("best_iteration"),
    }


def legend_name(settings: Mapping[str, object], swept: Sequence[str] = ()) -> str:
    """What TensorBoard calls a run: the swept settings, then dataset, optimizer and seed."""
    known = {word.partition("=")[0] for word in swept}
    own = {
        "dataset": settings.get("dataset.name"),
        "optimizer": settings.get("optimizer.name"),
        "seed": f"seed={settings.get('seed')}",
    }
    words = [*swept, *(str(value) for name, value in own.items() if name not in known)]
    return safe_name(",".join(words))


def _events_folder(folder: Path, settings: Mapping[str, object], swept: Sequence[str]) -> Path:
    """Where the event files go: where those of a resumed run are, or a folder of that name."""
    parent = folder / FOLDER
    existing = sorted({path.parent for path in parent.rglob(EVENTS)})
    return existing[0] if existing else parent / legend_name(settings, swept)
