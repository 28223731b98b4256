"""Progress of a run: a live display on a terminal, plain lines elsewhere or beside other runs."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, Self, TextIO

from kfac_cli.recording.activity import activity_text
from kfac_cli.recording.layout import terminal_width
from kfac_cli.recording.summary import headline, terminal_summary
from kfac_cli.recording.terminal_fields import EVALUATION_FIELDS, iteration_values
from kfac_cli.recording.values import Row, SecondsLeft, clock_time, iterations_done, significant

QUIET_SECONDS = 10.0
"""Without a terminal, iterations are reported at most this often."""


class Display(Protocol):
    """The interface of a progress display; `Progress` documents the methods."""

    def start(self, title: str) -> None: ...
    def iteration(self, row: Row, seconds_left: SecondsLeft) -> None: ...
    def evaluation(self, row: Row) -> None: ...
    def activity(self, what: str, done: int, total: int) -> None: ...
    def message(self, text: str) -> None: ...
    def close(self) -> None: ...


class Progress:
    """Shows the progress of a run, live if `stream` is a terminal and line by line if not.

    `total` is the number of iterations of the whole run, `stream` standard error if None, and
    `clock` returns the time in seconds. With a `label`, for a run beside others, each line begins
    with it, and there are only lines for evaluations, messages and the end.
    """

    def __init__(
        self,
        total: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        label: str | None = None,
    ) -> None:
        stream = sys.stderr if stream is None else stream
        self._label = label
        self._display: Display
        if label is not None:
            self._display = LabelledLines(label, total, stream)
        elif stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown"):
            from kfac_cli.recording.live_display import LiveDisplay

            self._display = LiveDisplay(total, stream, clock)
        else:
            self._display = PlainDisplay(total, stream, clock)

    def start(self, title: str) -> None:
        """Start the clock, and the display on a terminal."""
        self._display.start(title)

    def iteration(self, row: Row, seconds_left: SecondsLeft) -> None:
        """Report a finished iteration by its row of the metrics table."""
        self._display.iteration(row, seconds_left)

    def evaluation(self, row: Row) -> None:
        """Report an evaluation by its row of the evaluations table."""
        self._display.evaluation(row)

    def activity(self, what: str, done: int = 0, total: int = 0) -> None:
        """Show what is running besides the iterations, and how much of it is done, if known.

        An empty `what`, and the next iteration, end it.
        """
        self._display.activity(what, done, total)

    def message(self, text: str) -> None:
        """Show a line of text above the display; allowed before `start`."""
        self._display.message(text)

    def ended(self, summary: Mapping[str, object], folder: Path) -> None:
        """Print how the run ended, to standard output."""
        self.close()
        if self._label is None:
            width = terminal_width(sys.stdout)
            print(terminal_summary(summary, folder, width), flush=True)
        else:
            print(f"{self._label}: {headline(summary)}", flush=True)

    def close(self) -> None:
        """Leave the last state on the screen and release the terminal; may be repeated."""
        self._display.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PlainDisplay:
    """Lines for a log file: first and last iteration, evaluations, and one line per 10 seconds."""

    def __init__(self, total: int, stream: TextIO, clock: Callable[[], float]) -> None:
        self._total = total
        self._stream = stream
        self._clock = clock
        self._started = clock()
        self._reported: float | None = None
        self._shown = self._started

    def start(self, title: str) -> None:
        self._started = self._shown = self._clock()
        self.message(f"{title}: {self._total} iterations")

    def iteration(self, row: Row, seconds_left: SecondsLeft) -> None:
        now = self._clock()
        done = iterations_done(row)
        due = self._reported is None or now - self._reported >= QUIET_SECONDS
        if not due and done != self._total:
            return
        self._reported = self._shown = now
        fields = [f"{name} {value}" for name, value in iteration_values(row).items()]
        times = f"{clock_time(now - self._started)} elapsed, {clock_time(seconds_left())} left"
        self.message("  ".join([f"iteration {done}/{self._total}", *fields, times]))

    def evaluation(self, row: Row) -> None:
        self.message(f"evaluation at iteration {iterations_done(row)}: {_evaluation_text(row)}")
        self._shown = self._clock()

    def activity(self, what: str, done: int, total: int) -> None:
        now = self._clock()
        if what and now - self._shown >= QUIET_SECONDS:
            self._shown = now
            self.message(activity_text(what, done, total))

    def message(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        self._stream.flush()


class LabelledLines:
    """Lines of one of several runs that share a terminal: evaluations and messages."""

    def __init__(self, label: str, total: int, stream: TextIO) -> None:
        self._label = label
        self._total = total
        self._stream = stream

    def start(self, title: str) -> None:
        self.message(f"{title}: {self._total} iterations")

    def iteration(self, row: Row, seconds_left: SecondsLeft) -> None:
        pass

    def evaluation(self, row: Row) -> None:
        done = f"iteration {iterations_done(row)}/{self._total}"
        self.message(f"{done}: {_evaluation_text(row)}")

    def activity(self, what: str, done: int, total: int) -> None:
        pass

    def message(self, text: str) -> None:
        # one call, so that lines of other processes do not come in between
        self._stream.write(f"{self._label}: {text}\n")
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()


def _evaluation_text(row: Row) -> str:
    return ", ".join(
        f"{field.name} {significant(row.get(metric.column))}"
        for metric, field in EVALUATION_FIELDS
        if row.get(metric.column) is not None
    )
