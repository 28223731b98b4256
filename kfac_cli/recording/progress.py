"""Progress of a run: a live display on a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self, TextIO

from kfac_cli.recording.metrics import EVALUATION_FIELDS, iteration_values, iterations_done
from kfac_cli.recording.values import Row, clock_time, significant

QUIET_SECONDS = 10.0
"""Without a terminal, iterations are reported no oftener than this."""


class Display(Protocol):
    """What a progress display can be told; `Progress` says what each call means."""

    def start(self, title: str) -> None: ...
    def iteration(self, row: Row, seconds_left: float | None) -> None: ...
    def evaluation(self, row: Row) -> None: ...
    def message(self, text: str) -> None: ...
    def close(self) -> None: ...


class Progress:
    """Shows how far a run has come, live if the stream is a terminal and line by line if not.

    Args:
        total: iterations of the whole run.
        stream: where to show it; standard error if None.
        clock: gives the time in seconds.
    """

    def __init__(
        self,
        total: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        stream = sys.stderr if stream is None else stream
        self._display: Display
        if stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown"):
            from kfac_cli.recording.live_display import LiveDisplay

            self._display = LiveDisplay(total, stream, clock)
        else:
            self._display = PlainDisplay(total, stream, clock)

    def start(self, title: str) -> None:
        """Begin: the clock starts and a terminal shows the display from now on."""
        self._display.start(title)

    def iteration(self, row: Row, seconds_left: float | None) -> None:
        """Report a finished iteration by its row of the metrics table."""
        self._display.iteration(row, seconds_left)

    def evaluation(self, row: Row) -> None:
        """Report an evaluation by its row of the evaluations table."""
        self._display.evaluation(row)

    def message(self, text: str) -> None:
        """Show a line of text without disturbing the display; allowed before the start too."""
        self._display.message(text)

    def close(self) -> None:
        """Leave the display's last state standing and give the terminal back; may be repeated."""
        self._display.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class PlainDisplay:
    """Lines for a log file: the first and last iteration, every evaluation, one in ten seconds."""

    def __init__(self, total: int, stream: TextIO, clock: Callable[[], float]) -> None:
        self._total = total
        self._stream = stream
        self._clock = clock
        self._started = clock()
        self._reported: float | None = None

    def start(self, title: str) -> None:
        self._started = self._clock()
        self.message(f"{title}: {self._total} iterations")

    def iteration(self, row: Row, seconds_left: float | None) -> None:
        now = self._clock()
        done = iterations_done(row)
        due = self._reported is None or now - self._reported >= QUIET_SECONDS
        if not due and done != self._total:
            return
        self._reported = now
        fields = [f"{name} {value}" for name, value in iteration_values(row)]
        times = f"{clock_time(now - self._started)} elapsed, {clock_time(seconds_left)} left"
        self.message("  ".join([f"iteration {done}/{self._total}", *fields, times]))

    def evaluation(self, row: Row) -> None:
        fields = ", ".join(
            f"{name} {significant(row.get(column))}"
            for column, name in EVALUATION_FIELDS
            if row.get(column) is not None
        )
        self.message(f"evaluation at iteration {iterations_done(row)}: {fields}")

    def message(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        self._stream.flush()
