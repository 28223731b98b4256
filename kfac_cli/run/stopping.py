"""When a run stops, and when it is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kfac_cli.recording.summary import (
    FINISHED,
    INTERRUPTED,
    TARGET_MISSED,
    TARGET_REACHED,
    TIME_LIMIT_REACHED,
)
from kfac_cli.recording.values import Row

if TYPE_CHECKING:
    from kfac_cli.config.schema import RunConfig
    from kfac_cli.run.history import History
    from kfac_cli.run.session import Session
    from kfac_cli.signals import StopRequest

StoppingRule = Callable[[Row], str | None]
"""Takes each row of evaluations.csv, and returns the status with which the run should stop now.

None lets it continue. For a resumed run, the rule takes the earlier rows first.
"""


def reason_to_stop(
    config: RunConfig, session: Session, history: History, stop: StopRequest
) -> str | None:
    """The status with which the run should stop now; None if it should continue.

    Before its first iteration, a run stops only for a signal; `max_seconds` lets each process do
    at least one.
    """
    if stop.signal is not None:
        return INTERRUPTED
    if session.iteration == session.origin:
        return None
    if (status := status_at(config, session.iteration, session.best.train_error)) is not None:
        return status
    began = session.iteration == history.began
    of_process = None if began else config.max_seconds
    if not (
        reached(of_process, history.process_seconds)
        or reached(config.max_optimizer_seconds, history.optimizer_seconds)
    ):
        return None
    return TIME_LIMIT_REACHED if config.target_error is None else TARGET_MISSED


def reached(limit: float | None, seconds: float) -> bool:
    """Whether so many seconds reach a limit, if there is one."""
    return limit is not None and seconds >= limit


def status_at(config: RunConfig, iteration: int, best_train_error: float) -> str | None:
    """The status of a run that ends at an iteration by itself; None if it should continue."""
    target = config.target_error
    if target is not None and best_train_error <= target:
        return TARGET_REACHED
    if iteration < config.iterations:
        return None
    return FINISHED if target is None else TARGET_MISSED


def evaluation_is_due(
    config: RunConfig, session: Session, history: History, status: str | None
) -> bool:
    """Whether to evaluate now: every `evaluate_every` iterations, and once at the end.

    `status` is what `reason_to_stop` returned.
    """
    latest, now = history.latest_evaluation, session.iteration
    if now == session.origin or (latest is not None and latest["iteration"] == now):
        return False
    return status is not None or now % config.evaluate_every == 0
