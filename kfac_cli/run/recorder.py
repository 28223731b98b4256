"""Everything that a run records in its folder, as one object."""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kfac_cli.config.schema import RunConfig, flat_settings
from kfac_cli.engine import StepRecord
from kfac_cli.errors import UserError
from kfac_cli.parameters_file import save_parameters
from kfac_cli.recording.csv_table import Table, read_table
from kfac_cli.recording.environment import environment, peak_memory
from kfac_cli.recording.figure import draw_run
from kfac_cli.recording.metrics import EVALUATION_COLUMNS, METRIC_COLUMNS, step_values
from kfac_cli.recording.progress import Progress
from kfac_cli.recording.summary import DIVERGED, best_evaluation, terminal_summary, write_summary
from kfac_cli.recording.tensorboard import TensorBoardLog
from kfac_cli.run.evaluation import SessionEvaluation, error_name, evaluation_row, reconstructions
from kfac_cli.run.session import Session
from kfac_cli.run.time_left import TimeLeft

logger = logging.getLogger(__name__)

PARTS = ("optimizer", "evaluation", "logging")
"""What a run's time is divided into."""


class Recorder:
    """Records one session: tables, TensorBoard, progress, and at the end summary, figure and θ.

    `times` is given for a resumed run, as `state_dict` returned it (empty without a checkpoint):
    records after the session's iteration are dropped, and the times continue from these.

    A failing TensorBoard, figure or terminal is logged and does not end the run; a table that
    cannot be written does (OSError). Raises UserError if the tables of a resumed run are damaged.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        session: Session,
        progress: Progress,
        times: Mapping[str, float] | None = None,
    ) -> None:
        self._config = config
        self._folder = folder
        self._session = session
        self._last_iteration = time.perf_counter()
        spent = times or {}
        self._started = self._last_iteration - spent.get("seconds", 0.0)
        self._parts = {name: spent.get(f"{name}_seconds", 0.0) for name in PARTS}
        self._time_left = TimeLeft(session.schedule, config.iterations)
        keep = None if times is None else session.iteration
        metrics, evaluations = folder / "metrics.csv", folder / "evaluations.csv"
        with contextlib.ExitStack() as opened:
            self._metrics = opened.enter_context(_open_table(metrics, METRIC_COLUMNS, keep))
            table = _open_table(evaluations, EVALUATION_COLUMNS, keep)
            self._evaluations = opened.enter_context(table)
            self._rows = _read_evaluations(evaluations)
            opened.pop_all()
        if keep is not None and len(read_table(metrics)) != keep - session.origin:
            logger.warning("metrics.csv has no rows for some iterations up to %d", keep)
        self._progress: Progress | None = progress
        self._tensorboard: TensorBoardLog | None = None
        if config.tensorboard:
            self._guarded("TensorBoard", lambda: self._open_tensorboard(keep))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._metrics.close()
        self._evaluations.close()
        self._with_tensorboard(lambda log: log.close())

    @property
    def seconds(self) -> float:
        """Seconds that the run has taken, without those between interruption and resumption."""
        return time.perf_counter() - self._started

    @property
    def best_train_error(self) -> float:
        """The lowest training error measured so far; infinite before any finite one."""
        return min((row["train_error_best"] for row in self._rows), default=math.inf)

    @property
    def latest_evaluation(self) -> Mapping[str, Any] | None:
        """The latest row of evaluations.csv."""
        return self._rows[-1] if self._rows else None

    @contextmanager
    def clock(self, name: str) -> Iterator[None]:
        """Count the time within as `optimizer`, `evaluation` or `logging`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._parts[name] += time.perf_counter() - started

    def state_dict(self) -> dict[str, float]:
        """The times so far; the files are flushed to the disk."""
        self._metrics.sync()
        self._evaluations.sync()
        self._with_tensorboard(lambda log: log.flush())
        return self._times()

    def iteration(self, batch_size: int, record: StepRecord) -> None:
        """Record a step."""
        with self.clock("logging"):
            row = {
                "iteration": self._session.iteration,
                "batch_size": batch_size,
                "cases": self._session.cases,
                **step_values(record),
                **self._times(),
            }
            self._metrics.append(row)
            self._with_tensorboard(lambda log: log.iteration(row))
            now = time.perf_counter()
            self._time_left.add(batch_size, now - self._last_iteration)
            self._last_iteration = now
            left = self._time_left.seconds(self._session.iteration)
            self._with_progress(lambda progress: progress.iteration(row, left))

    def evaluation(self, evaluation: SessionEvaluation) -> None:
        """Record an evaluation on the whole training and test sets."""
        with self.clock("logging"):
            row = evaluation_row(self._session, evaluation, self._times())
            self._rows.append(row)
            self._evaluations.append(row)
            self._with_tensorboard(lambda log: log.evaluation(row))
            self._with_tensorboard(self._log_pictures)
            self._with_progress(lambda progress: progress.evaluation(row))

    def finish(self, status: str, reason: str | None = None) -> None:
        """Write parameters, figure and summary, and print how the run ended, and why."""
        self._with_progress(lambda progress: progress.close())
        with self.clock("logging"):
            session = self._session
            save_parameters(
                self._folder / "parameters.pt",
                session.network,
                session.iteration,
                session.optimizer.parameters,
                session.average.parameters,
            )
            if self._rows:
                self._guarded("figure", lambda: self._draw(status))
            self._with_tensorboard(self._log_hyperparameters)
        summary = self._summary(status, reason)
        write_summary(self._folder, summary)
        print(terminal_summary(summary, self._folder), flush=True)

    def _summary(self, status: str, reason: str | None) -> dict[str, Any]:
        device = self._session.device
        final = {} if not self._rows else {f"final_{k}": v for k, v in self._rows[-1].items()}
        return {
            "status": status,
            "reason": reason,
            "title": self._config.title,
            "iterations": self._session.iteration,
            "iterations_planned": self._config.iterations,
            "cases": self._session.cases,
            "rejections": self._session.rejections,
            "numerical_fallbacks": self._session.optimizer.fallbacks,
            **best_evaluation(self._rows),
            **final,
            **self._times(),
            "peak_memory": peak_memory(device),
            **environment(device),
        }

    def _times(self) -> dict[str, float]:
        parts = {f"{name}_seconds": seconds for name, seconds in self._parts.items()}
        return {"seconds": self.seconds, **parts}

    def _draw(self, status: str) -> None:
        shape = self._session.dataset.image_shape
        originals, drawn = (
            reconstructions(self._session, self._rows) if shape is not None else (None, None)
        )
        draw_run(
            self._folder / "run.png",
            read_table(self._folder / "metrics.csv"),
            self._rows,
            originals,
            drawn,
            shape,
            self._config.title + (", diverged" if status == DIVERGED else ""),
            error_name(self._session),
        )

    def _open_tensorboard(self, keep: int | None) -> None:
        first = None if keep is None else keep + 1
        self._tensorboard = TensorBoardLog(self._folder / "tensorboard", purge_step=first)

    def _log_pictures(self, log: TensorBoardLog) -> None:
        shape = self._session.dataset.image_shape
        if shape is not None:
            pairs = reconstructions(self._session, self._rows)
            log.images(self._session.iteration, *pairs, shape)

    def _log_hyperparameters(self, log: TensorBoardLog) -> None:
        settings, results = flat_settings(self._config), best_evaluation(self._rows)
        # One past the end: resuming the run purges them.
        log.hyperparameters(settings, results, self._session.iteration + 1)

    def _with_tensorboard(self, action: Callable[[TensorBoardLog], None]) -> None:
        log = self._tensorboard
        if log is not None and not self._guarded("TensorBoard", lambda: action(log)):
            self._tensorboard = None

    def _with_progress(self, action: Callable[[Progress], None]) -> None:
        progress = self._progress
        if progress is not None and not self._guarded("progress", lambda: action(progress)):
            self._progress = None  # such as a terminal that was closed

    @staticmethod
    def _guarded(what: str, action: Callable[[], None]) -> bool:
        """Do something whose failure must not end the run; False if it failed."""
        try:
            action()
        except Exception as error:
            logger.warning("%s failed; continuing without it: %s", what, error)
            return False
        return True


def _open_table(path: Path, columns: tuple[str, ...], keep_until: int | None) -> Table:
    try:
        return Table(path, columns, keep_until=keep_until)
    except ValueError as error:
        raise UserError(f"{error}; repair it, or remove it to continue without it") from error


def _read_evaluations(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = list(read_table(path))
    for row in rows:
        for name, value in row.items():
            if value is None:
                raise UserError(
                    f"{path}: has no {name} at iteration {row['iteration']}; repair it, or "
                    "remove it to continue without it"
                )
    return rows
