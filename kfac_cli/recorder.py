"""Everything a run leaves in its folder, behind one object that the loop talks to."""

import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from kfac_cli.config import RunConfig
from kfac_cli.engine import Parameters, StepRecord
from kfac_cli.evaluation import Figures
from kfac_cli.recording import (
    EVALUATION_COLUMNS,
    METRIC_COLUMNS,
    Progress,
    Table,
    TensorBoardLog,
    best_figures,
    draw_run,
    environment,
    peak_memory,
    read_table,
    terminal_summary,
    write_summary,
)
from kfac_cli.session import Session
from kfac_cli.status import DIVERGED
from kfac_cli.time_left import TimeLeft

logger = logging.getLogger(__name__)

PICTURES = 15
"""Test cases whose reconstructions are shown."""


class Recorder:
    """Records one session: tables, TensorBoard, progress, and at the end summary, figure, θ.

    `best_train_error` is the lowest training error measured so far; infinite before any.
    A failing TensorBoard or figure is logged and does not end the run; a table that cannot be
    written does (OSError).
    """

    def __init__(
        self, config: RunConfig, folder: Path, session: Session, progress: Progress
    ) -> None:
        self._config = config
        self._folder = folder
        self._session = session
        self._started = self._last_iteration = time.perf_counter()
        self._time_left = TimeLeft(session.schedule, config.iterations)
        self._seconds = {"optimizer": 0.0, "evaluation": 0.0, "logging": 0.0}
        self._rows: list[dict[str, Any]] = []
        self._latest: Figures | None = None
        self.best_train_error = math.inf
        self._metrics = Table(folder / "metrics.csv", METRIC_COLUMNS)
        self._evaluations = Table(folder / "evaluations.csv", EVALUATION_COLUMNS)
        self._progress = progress
        self._tensorboard: TensorBoardLog | None = None
        if config.tensorboard:
            self._guarded("TensorBoard", self._open_tensorboard)

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

    @contextmanager
    def clock(self, name: str) -> Iterator[None]:
        """Count the time within as `optimizer`, `evaluation` or `logging`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - started

    def iteration(self, batch_size: int, record: StepRecord) -> None:
        """Record a step."""
        with self.clock("logging"):
            figures = asdict(record)
            figures["lambda"] = figures.pop("damping")
            del figures["model_change"], figures["rejected"]
            row = {
                "iteration": self._session.iteration,
                "batch_size": batch_size,
                "cases": self._session.cases,
                **figures,
                **self._times(),
            }
            self._metrics.append(row)
            self._with_tensorboard(lambda log: log.iteration(row))
            now = time.perf_counter()
            self._time_left.add(batch_size, now - self._last_iteration)
            self._last_iteration = now
            self._progress.iteration(row, self._time_left.seconds(self._session.iteration))

    def evaluation(self, figures: Figures) -> None:
        """Record whole-set figures."""
        with self.clock("logging"):
            self._latest = figures
            row = _evaluation_row(self._session.iteration, figures)
            self._rows.append(row)
            self.best_train_error = min(self.best_train_error, figures.best)
            self._evaluations.append(row)
            self._with_tensorboard(lambda log: log.evaluation(row))
            self._with_tensorboard(self._log_pictures)
            self._progress.evaluation(row)

    def finish(self, status: str) -> None:
        """Write what belongs to the end of a run, and tell the person how it ended."""
        self._progress.close()
        with self.clock("logging"):
            save_parameters(self._folder / "parameters.pt", self._session)
            if self._latest is not None:
                self._guarded("figure", lambda: self._draw(status))
            self._with_tensorboard(self._log_hyperparameters)
        summary = self._summary(status)
        write_summary(self._folder, summary)
        print(terminal_summary(summary, self._folder), flush=True)

    def _summary(self, status: str) -> dict[str, Any]:
        device = self._session.optimizer.parameters[0].device
        final = {} if not self._rows else {f"final_{k}": v for k, v in self._rows[-1].items()}
        return {
            "status": status,
            "title": self._config.title,
            "iterations": self._session.iteration,
            "iterations_planned": self._config.iterations,
            "cases": self._session.cases,
            **best_figures(self._rows),
            **final,
            **self._times(),
            "peak_memory": peak_memory(device),
            **environment(device),
        }

    def _times(self) -> dict[str, float]:
        parts = {f"{name}_seconds": seconds for name, seconds in self._seconds.items()}
        return {"seconds": time.perf_counter() - self._started, **parts}

    def _pictures(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Some test cases and their reconstructions."""
        session = self._session
        parameters = self._better_parameters()
        like = parameters[0]
        inputs = session.dataset.test_inputs[:PICTURES]
        logits = session.network.forward(parameters, inputs.to(like.device, like.dtype)).logits
        return session.dataset.test_targets[:PICTURES], session.network.distribution.mean(logits)

    def _better_parameters(self) -> Parameters:
        """The average where it has the lower training error, the iterate elsewhere."""
        latest = self._latest
        if latest is not None and latest.train_average.error < latest.train.error:
            return self._session.average.parameters
        return self._session.optimizer.parameters

    def _draw(self, status: str) -> None:
        shape = self._session.dataset.image_shape
        originals, reconstructions = self._pictures() if shape is not None else (None, None)
        draw_run(
            self._folder / "run.png",
            read_table(self._folder / "metrics.csv"),
            self._rows,
            originals,
            reconstructions,
            shape,
            self._config.title + (", diverged" if status == DIVERGED else ""),
        )

    def _open_tensorboard(self) -> None:
        self._tensorboard = TensorBoardLog(self._folder / "tensorboard")

    def _log_pictures(self, log: TensorBoardLog) -> None:
        shape = self._session.dataset.image_shape
        if shape is not None:
            log.images(self._session.iteration, *self._pictures(), shape)

    def _log_hyperparameters(self, log: TensorBoardLog) -> None:
        log.hyperparameters(dict(_flat(asdict(self._config))), best_figures(self._rows))

    def _with_tensorboard(self, action: Callable[[TensorBoardLog], None]) -> None:
        log = self._tensorboard
        if log is not None and not self._guarded("TensorBoard", lambda: action(log)):
            self._tensorboard = None

    @staticmethod
    def _guarded(what: str, action: Callable[[], None]) -> bool:
        """Do something that must not end a run; False if it failed."""
        try:
            action()
        except Exception as error:
            logger.warning("%s failed and is left out: %s", what, error)
            return False
        return True


def save_parameters(path: Path, session: Session) -> None:
    """Save θ and its average, whole or not at all; `torch.load(path, weights_only=True)` reads it.

    A dict with `layer_sizes`, `activations`, `output`, `iteration`, `parameters` and `average`,
    the last two as lists of W_i, (d_i, d_{i-1}+1), on the CPU.
    """
    network = session.network
    contents = {
        "layer_sizes": list(network.layer_sizes),
        "activations": list(network.activations),
        "output": network.output,
        "iteration": session.iteration,
        "parameters": [p.cpu() for p in session.optimizer.parameters],
        "average": [p.cpu() for p in session.average.parameters],
    }
    temporary = path.with_suffix(".tmp")
    torch.save(contents, temporary)
    os.replace(temporary, path)


def _evaluation_row(iteration: int, figures: Figures) -> dict[str, Any]:
    return {
        "iteration": iteration,
        "train_error": figures.train.error,
        "train_error_average": figures.train_average.error,
        "train_error_best": figures.best,
        "test_error": figures.test.error,
        "test_error_average": figures.test_average.error,
        "train_log_likelihood": -figures.train.loss,
        "train_log_likelihood_average": -figures.train_average.loss,
        "test_log_likelihood": -figures.test.loss,
        "test_log_likelihood_average": -figures.test_average.loss,
    }


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as (dotted name, value)."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
