"""Whether a run has reached its target error, and what that took."""

from typing import Any

from kfac_cli.config.schema import RunConfig
from kfac_cli.run.history import History
from kfac_cli.run.session import Session

COSTS = ("iteration", "cases", "seconds", "optimizer_seconds")
"""What reaching the target took: columns of evaluations.csv."""


def target_outcome(config: RunConfig, session: Session, history: History) -> dict[str, Any] | None:
    """The entry `target` of summary.json; None without a target.

    It has the target `error`, whether it was `reached`, and iteration, cases, seconds and
    optimizer_seconds at the first evaluation that met it, each None if there was none.
    """
    error = config.target_error
    if error is None:
        return None
    first = next((row for row in history.evaluations if row["train_error_best"] <= error), {})
    costs = {name: first.get(name) for name in COSTS}
    return {"error": error, "reached": session.best.train_error <= error, **costs}
