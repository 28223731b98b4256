"""What a run has measured so far: its evaluations and its time, which decide when it stops."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kfac_cli.engine.state_rules import Rule, number, record

PARTS = ("optimizer", "evaluation", "logging")
"""What a run's time is divided into."""


class History:
    """The evaluations and the time of one run.

    `times` are those of a resumed run, as `times` returned them: the clocks continue from there.
    `began` is the iteration at which this process began the run or resumed it. `evaluations` has
    the rows of evaluations.csv so far.
    """

    def __init__(self, times: Mapping[str, float] | None = None, began: int = 0) -> None:
        spent = times or {}
        self.began = began
        self._started = time.perf_counter()
        self._earlier = spent.get("seconds", 0.0)
        self._parts = {name: spent.get(f"{name}_seconds", 0.0) for name in PARTS}
        self._running: tuple[str, float] | None = None
        self.evaluations: list[Mapping[str, Any]] = []

    @property
    def seconds(self) -> float:
        """Seconds that the run has taken, without those between interruption and resumption."""
        return self._earlier + self.process_seconds

    @property
    def process_seconds(self) -> float:
        """Seconds since this process began the run or resumed it."""
        return time.perf_counter() - self._started

    @property
    def optimizer_seconds(self) -> float:
        """Seconds that the steps of the run have taken."""
        return self._parts_now()["optimizer"]

    @property
    def latest_evaluation(self) -> Mapping[str, Any] | None:
        """The latest row of evaluations.csv."""
        return self.evaluations[-1] if self.evaluations else None

    @contextmanager
    def clock(self, part: str) -> Iterator[None]:
        """Count the time within as `optimizer`, `evaluation` or `logging`; cannot be nested."""
        self._running = part, time.perf_counter()
        try:
            yield
        finally:
            self._parts, self._running = self._parts_now(), None

    def times(self) -> dict[str, float]:
        """The columns of seconds in metrics.csv: the parts and the whole, up to now."""
        parts = {f"{name}_seconds": seconds for name, seconds in self._parts_now().items()}
        return {"seconds": self.seconds, **parts}

    @staticmethod
    def times_rule() -> Rule:
        """What `times` may have returned."""
        return record(dict.fromkeys(("seconds", *(f"{part}_seconds" for part in PARTS)), number()))

    def _parts_now(self) -> dict[str, float]:
        parts = dict(self._parts)
        if self._running is not None:
            part, started = self._running
            parts[part] += time.perf_counter() - started
        return parts
