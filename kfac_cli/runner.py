"""The loop of one run: draw, step, average, evaluate, record. Wiring only."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from kfac_cli.config import RunConfig
from kfac_cli.data import load_dataset, resolve_data_dir
from kfac_cli.evaluation import evaluate_session
from kfac_cli.interruption import StopRequest
from kfac_cli.recorder import Recorder
from kfac_cli.recording import Progress
from kfac_cli.session import Session, choose_device, make_session
from kfac_cli.status import DIVERGED, FINISHED, INTERRUPTED, TARGET_REACHED, TIME_LIMIT_REACHED


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    `status` is one of `kfac_cli.status`; `best_train_error` the lowest training error that
    was measured, of the iterate or its average (infinite if none was finite); `signal` the number
    of the signal that interrupted the run.
    """

    status: str
    best_train_error: float
    iterations: int
    signal: int | None = None


def run(config: RunConfig, folder: Path, progress: Progress) -> RunResult:
    """Train as `config` says and leave everything in `folder`, which exists.

    `progress` has been started; it is closed before the summary is printed.

    Raises UserError for what a user can mend: missing or damaged data, no such device.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    device = choose_device(config.device)
    dataset = load_dataset(config.dataset, resolve_data_dir(config.data_dir))
    session = make_session(config, dataset, device)
    with Recorder(config, folder, session, progress) as recorder:
        with StopRequest() as stop:
            status = _train(config, session, recorder, stop)
        recorder.finish(status)
    return RunResult(status, recorder.best_train_error, session.iteration, stop.signal)


def _train(config: RunConfig, session: Session, recorder: Recorder, stop: StopRequest) -> str:
    """Iterate until there is a reason to stop; returns that reason."""
    started = time.perf_counter()
    last_finite = session.optimizer.parameters
    while True:
        before = session.optimizer.parameters
        with recorder.clock("optimizer"):
            size, record = session.step()
        recorder.iteration(size, record)
        if not math.isfinite(record.objective):
            session.optimizer.parameters = last_finite
            return DIVERGED
        last_finite = before
        status = _reason_to_stop(config, session, stop, time.perf_counter() - started)
        if status == INTERRUPTED:
            return status
        if status is not None or session.iteration % config.evaluate_every == 0:
            with recorder.clock("evaluation"):
                figures = evaluate_session(session, config.chunk_size)
            recorder.evaluation(figures)
            if config.target_error is not None and figures.best <= config.target_error:
                return TARGET_REACHED
        if status is not None:
            return status


def _reason_to_stop(
    config: RunConfig, session: Session, stop: StopRequest, seconds: float
) -> str | None:
    if stop.signal is not None:
        return INTERRUPTED
    if session.iteration >= config.iterations:
        return FINISHED
    if config.max_seconds is not None and seconds >= config.max_seconds:
        return TIME_LIMIT_REACHED
    return None
