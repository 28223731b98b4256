"""The TensorBoard log of a run: scalars in groups, reconstructions, hyperparameters."""

import math
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kfac_cli.config.names import numeric_settings, setting_names
from kfac_cli.errors import shown
from kfac_cli.recording.metric import Metric
from kfac_cli.recording.metrics import EVALUATION_METRICS, ITERATION_METRICS
from kfac_cli.recording.pictures import pair_picture
from kfac_cli.recording.values import Row, as_finite, as_number

BY_CASES = "by_cases"
"""The group of the error curves whose step is the number of cases drawn."""

RESULTS = "Errors-and-costs"
"""The group of a run's results.

TensorBoard's HPARAMS tab shows the first five scalars in Python's order, in which "Errors-" comes
before "Errors/", and its time series another order, in which it comes after.
"""

PIXELS_PER_PIXEL = 3
"""Enlargement of pictures, since 28 by 28 pixels are small on a screen."""


class TensorBoardLog:
    """One TensorBoard run in one folder.

    For a resumed run, `purge_step` is the next iteration: TensorBoard discards what earlier event
    files have from there on. Raises OSError if the folder cannot be written.
    """

    def __init__(self, folder: str | Path, purge_step: int | None = None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        if purge_step is not None:
            _wait_for_a_later_name(Path(folder))
        self._writer: Any = SummaryWriter(str(folder), purge_step=purge_step, flush_secs=10)

    def iteration(self, row: Row) -> None:
        """Write one row of metrics.csv; missing values are omitted.

        A word is written as its place among the possible ones: 0 for an accepted step. lambda is
        written as its logarithm too, since it can underflow TensorBoard's single precision.
        """
        step = _step(row)
        for metric in ITERATION_METRICS:
            value = row.get(metric.column)
            if value is not None and metric.words:
                value = metric.words.index(str(value))
            if metric.tag:
                self._scalar(metric.tag, value, step)
        self.by_cases(row, ITERATION_METRICS)
        damping = as_finite(row.get("lambda"))
        if damping is not None and damping > 0:
            self._scalar("damping/log10_lambda", math.log10(damping), step)

    def evaluation(self, row: Row) -> None:
        """Write one row of evaluations.csv; missing values are omitted.

        So are metrics that each iteration has too.
        """
        step = _step(row)
        for metric in EVALUATION_METRICS:
            if metric.tag and metric not in ITERATION_METRICS:
                self._scalar(metric.tag, row.get(metric.column), step)
        self.by_cases(row, EVALUATION_METRICS)

    def by_cases(self, row: Row, metrics: Sequence[Metric]) -> None:
        """Write the errors in a row of metrics.csv or evaluations.csv over the cases so far."""
        cases = as_finite(row.get("cases"))
        for metric in metrics if cases is not None else ():
            if metric.is_error:
                tag = f"{BY_CASES}/{metric.tag.rpartition('/')[2]}"
                self._scalar(tag, row.get(metric.column), int(cases or 0))

    def images(
        self,
        iteration: int,
        originals: Any,
        reconstructions: Any,
        image_shape: tuple[int, int],
    ) -> None:
        """Write one picture of pairs of originals and reconstructions, (n, height * width).

        Raises ValueError if the shapes do not match.
        """
        picture = pair_picture(originals, reconstructions, image_shape, background=0.5)
        enlarged = picture.repeat(PIXELS_PER_PIXEL, axis=0).repeat(PIXELS_PER_PIXEL, axis=1)
        self._writer.add_image(
            "reconstructions/original_above_reconstruction", enlarged, iteration, dataformats="HW"
        )

    def hyperparameters(
        self,
        flat_config: Mapping[str, object],
        results: Row,
        iteration: int | None = None,
        status: str | None = None,
    ) -> None:
        """Write settings (dotted name to value) and results for the HPARAMS tab, at the end.

        The numbers among the results are scalars of the group RESULTS at `iteration`; the `status`
        is a column of words. Everything goes into this run's event file, whereas
        `SummaryWriter.add_hparams` would show a second run. The description of all columns is not
        written: TensorBoard takes that of one run for all, but without any it unites the settings
        of the runs itself.
        """
        from torch.utils.tensorboard.summary import hparams

        columns = hyperparameter_values(flat_config)
        if status is not None:
            columns["status"] = status
        _, *session = hparams(columns, {})  # type: ignore[no-untyped-call]
        for summary in session:
            self._writer.file_writer.add_summary(summary)
        for name, value in results.items():
            self._scalar(f"{RESULTS}/{name}", value, iteration)

    def flush(self) -> None:
        """Flush pending events to the file."""
        self._writer.flush()

    def close(self) -> None:
        """Flush pending events and close the event file; may be repeated."""
        self._writer.close()

    def _scalar(self, tag: str, value: object, step: int | None) -> None:
        number = as_number(value)
        if number is not None:
            self._writer.add_scalar(tag, number, step)


def _wait_for_a_later_name(folder: Path) -> None:
    """Wait up to a second until a new event file sorts after the existing ones.

    TensorBoard reads event files in that order, and their names have the time in whole seconds.
    """
    names = [path.name for path in folder.glob("events.out.tfevents.*")]
    found = [int(m[1]) for name in names if (m := re.match(r"events\.out\.tfevents\.(\d+)", name))]
    if found and 0 <= max(found) - int(time.time()) <= 1:
        time.sleep(max(0.0, max(found) + 1 - time.time()))


def _step(row: Row) -> int:
    step = as_finite(row.get("iteration"))
    if step is None:
        raise ValueError("the row has no iteration")
    return int(step)


def hyperparameter_values(flat_config: Mapping[str, object]) -> dict[str, float | str]:
    """The settings as TensorBoard can sort and filter them: of one type in all runs.

    What is declared as a number, or null, is a number, which is left out where it is null.
    Everything else is text, also the number of a setting that admits words. Arguments of torch's
    optimizers are not declared: there truth values are the numbers 0 and 1, and null is left out.
    """
    numeric, declared = numeric_settings(), set(setting_names())
    values: dict[str, float | str] = {}
    for name, value in flat_config.items():
        number = float(value) if isinstance(value, bool) else as_number(value)
        if name in numeric or (name not in declared and (number is not None or value is None)):
            if number is not None:
                values[name] = number
        else:
            values[name] = value if isinstance(value, str) else shown(value)
    return values
