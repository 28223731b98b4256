"""When a run stops, and when it is evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kfac_cli.recording.summary import (
    FINISHED,
    INTERRUPTED,
    TARGET_REACHED,
    TIME_LIMIT_REACHED,
)

if TYPE_CHECKING:
    from kfac_cli.config.schema import RunConfig
    from kfac_cli.run.history import History
    from kfac_cli.run.session import Session
    from kfac_cli.signals import StopRequest


def reason_to_stop(
    config: RunConfig, session: Session, history: History, stop: StopRequest
) -> str | None:
    """The status with which the run should stop now; None if it should continue.

    Before its first iteration, a run stops only for a signal.
    """
    if stop.signal is not None:
        return INTERRUPTED
    if session.iteration == session.origin:
        return None
    latest, target = history.latest_evaluation, config.target_error
    if target is not None and latest is not None and latest["train_error_best"] <= target:
        return TARGET_REACHED
    if session.iteration >= config.iterations:
        return FINISHED
    if config.max_seconds is not None and history.seconds >= config.max_seconds:
        return TIME_LIMIT_REACHED
    return None


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
