"""The tables of a run as a sink: metrics.csv and evaluations.csv."""

import contextlib
import logging
from pathlib import Path
from typing import Any

from kfac_cli.errors import UserError
from kfac_cli.recording.csv_table import Table, read_table
from kfac_cli.recording.metrics import EVALUATION_COLUMNS, METRIC_COLUMNS
from kfac_cli.recording.sink import Sink
from kfac_cli.recording.values import Row

logger = logging.getLogger(__name__)

METRICS_FILE = "metrics.csv"
EVALUATIONS_FILE = "evaluations.csv"


class TablesSink(Sink):
    """Appends each row to its table in `folder`.

    With `keep_until`, the tables of a resumed run are continued after this iteration; those of a
    run that started from another begin after iteration `origin`. Raises UserError if they are
    damaged, OSError, naming the file, if one cannot be written.
    """

    def __init__(self, folder: Path, keep_until: int | None = None, origin: int = 0) -> None:
        metrics = folder / METRICS_FILE
        with contextlib.ExitStack() as opened:
            self._metrics = opened.enter_context(_open(metrics, METRIC_COLUMNS, keep_until))
            self._evaluations = opened.enter_context(
                _open(folder / EVALUATIONS_FILE, EVALUATION_COLUMNS, keep_until)
            )
            opened.pop_all()
        if keep_until is not None and len(read_table(metrics)) != keep_until - origin:
            logger.warning("metrics.csv has no rows for some iterations up to %d", keep_until)

    def iteration(self, row: Row) -> None:
        self._metrics.append(row)

    def evaluation(self, row: Row) -> None:
        self._evaluations.append(row)

    def flush(self) -> None:
        self._metrics.sync()
        self._evaluations.sync()

    def close(self) -> None:
        self._metrics.close()
        self._evaluations.close()


def read_evaluations(folder: Path) -> list[dict[str, Any]]:
    """The rows of evaluations.csv; raises UserError if a value is missing."""
    path = folder / EVALUATIONS_FILE
    rows = read_table(path)
    for row in rows:
        for name, value in row.items():
            if value is None:
                raise UserError(
                    f"{path}: has no {name} at iteration {row['iteration']}; repair it, or "
                    "remove it to continue without it"
                )
    return rows


def _open(path: Path, columns: tuple[str, ...], keep_until: int | None) -> Table:
    try:
        return Table(path, columns, keep_until=keep_until)
    except ValueError as error:
        raise UserError(f"{error}; repair it, or remove it to continue without it") from error
