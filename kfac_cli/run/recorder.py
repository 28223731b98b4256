"""Everything that a run leaves in its folder and shows, but for its checkpoints."""

import contextlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

from kfac_cli.config.schema import RunConfig, flat_settings
from kfac_cli.engine import Parameters, StepRecord
from kfac_cli.parameters_file import save_parameters
from kfac_cli.recording.environment import peak_memory
from kfac_cli.recording.git_commit import git_commit
from kfac_cli.recording.metrics import step_values
from kfac_cli.recording.picture_sink import PictureSink
from kfac_cli.recording.pictures import Examples
from kfac_cli.recording.progress import Progress
from kfac_cli.recording.sink import Sinks
from kfac_cli.recording.summary_sink import SummarySink
from kfac_cli.recording.tables import TablesSink, read_evaluations
from kfac_cli.recording.tensorboard_sink import TensorBoardSink
from kfac_cli.recording.terminal import TerminalSink
from kfac_cli.recording.values import Row
from kfac_cli.run.description import description
from kfac_cli.run.evaluation import (
    current_parameters,
    error_name,
    measured_errors,
    reconstructions,
)
from kfac_cli.run.history import History
from kfac_cli.run.session import Session
from kfac_cli.run.target import target_outcome
from kfac_cli.run.time_left import TimeLeft


class Recorder:
    """Hands the metrics of one session to its sinks, and writes its parameters at the end.

    For a `resumed` run, records after the session's iteration are dropped, and `history` receives
    the evaluations before it. `command` is the command line, for the summary, `swept` what
    distinguishes a job of a sweep.

    A failing TensorBoard, figure or terminal is logged and does not end the run; a table that
    cannot be written does (OSError). Raises UserError if the tables of a resumed run are damaged.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        session: Session,
        history: History,
        progress: Progress,
        *,
        resumed: bool = False,
        command: str | None = None,
        swept: Sequence[str] = (),
    ) -> None:
        self._config = config
        self._folder = folder
        self._session = session
        self._history = history
        self._command = command
        self._commit = git_commit()
        self._last_iteration = time.perf_counter()
        self._then: Callable[[], None] = lambda: None
        self._time_left = TimeLeft(session.schedule, config.iterations)
        keep = session.iteration if resumed else None
        shape = session.dataset.image_shape
        now = Examples(shape, lambda: reconstructions(session, self._current()))
        best = Examples(shape, lambda: reconstructions(session, self._best()))
        settings = flat_settings(config)
        self._sinks = Sinks()
        with contextlib.ExitStack() as opened:
            opened.callback(self._sinks.close)
            add = self._sinks.add
            add("tables", lambda: TablesSink(folder, keep, session.origin), required=True)
            history.evaluations.extend(read_evaluations(folder))
            add("progress", lambda: TerminalSink(progress, self._seconds_left))
            if config.tensorboard:
                add("TensorBoard", lambda: TensorBoardSink(folder, settings, now, keep, swept))
            add("figure", lambda: PictureSink(folder, best, error_name(session)))
            add("summary", lambda: SummarySink(folder, progress, self._written), required=True)
            opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sinks.close()

    def clock(self, part: str) -> AbstractContextManager[None]:
        """Count the time within as a part of the run's."""
        return self._history.clock(part)

    def state_dict(self) -> dict[str, float]:
        """The times so far; the files are flushed to the disk."""
        self._sinks.flush()
        return self._history.times()

    def iteration(self, batch_size: int, record: StepRecord) -> None:
        """Record a step."""
        with self.clock("logging"):
            now = time.perf_counter()
            self._time_left.add(batch_size, now - self._last_iteration)
            self._last_iteration = now
            row = {
                "iteration": self._session.iteration,
                "batch_size": batch_size,
                "cases": self._session.cases,
                **step_values(record),
                **self._history.times(),
            }
            self._sinks.iteration(row)

    def evaluation(self, row: Row) -> None:
        """Record an evaluation on the whole training and test sets, a row of evaluations.csv."""
        with self.clock("logging"):
            self._sinks.evaluation(row)

    def finish(
        self, status: str, reason: str | None = None, then: Callable[[], None] = lambda: None
    ) -> None:
        """Write parameters, figure and summary, do `then`, and print how the run ended, and why."""
        session = self._session
        self._then = then
        with self.clock("logging"):
            described = description(self._config, session.dataset, self._command, self._commit)
            save_parameters(
                self._folder / "parameters.pt",
                session.network,
                session.iteration,
                {
                    "iterate": session.optimizer.parameters,
                    "average": session.average.parameters or session.optimizer.parameters,
                    "best": session.best.parameters,
                },
                measured_errors(session, self._history.latest_evaluation),
            )
            self._sinks.finish(lambda: described | self._results(status, reason))

    def _written(self) -> None:
        self._then()

    def _current(self) -> Parameters:
        return current_parameters(self._session, self._history.evaluations)

    def _best(self) -> Parameters:
        return self._session.best.parameters or self._session.optimizer.parameters

    def _seconds_left(self) -> float | None:
        """The estimate for the iterations, or what a time limit leaves if that is less."""
        config, history = self._config, self._history
        known = [self._time_left.seconds(self._session.iteration)]
        if config.max_seconds is not None:
            known.append(max(0.0, config.max_seconds - history.process_seconds))
        if config.max_optimizer_seconds is not None and (steps := history.optimizer_seconds) > 0:
            share = history.seconds / steps  # the rest is evaluated as often as before
            known.append(max(0.0, config.max_optimizer_seconds - steps) * share)
        return min((seconds for seconds in known if seconds is not None), default=None)

    def _results(self, status: str, reason: str | None) -> dict[str, Any]:
        """How the run went, as it is known now."""
        latest = self._history.latest_evaluation or {}
        return {
            "status": status,
            "reason": reason,
            "iterations": self._session.iteration,
            "iterations_planned": self._config.iterations,
            "cases": self._session.cases,
            "rejections": self._session.rejections,
            "numerical_fallbacks": self._session.optimizer.fallbacks,
            "target": target_outcome(self._config, self._session, self._history),
            **self._session.best.values,
            **{f"final_{name}": value for name, value in latest.items()},
            **self._history.times(),
            "peak_memory": peak_memory(self._session.device),
            **self._session.environment,
        }
