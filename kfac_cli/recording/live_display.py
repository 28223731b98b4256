"""The live display of a run on a terminal: two fixed lines, evaluations scrolling above."""

import io
import logging
import math
import sys
from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple, TextIO, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text

from kfac_cli.errors import LogLine
from kfac_cli.recording.activity import activity_text
from kfac_cli.recording.layout import wrapped
from kfac_cli.recording.terminal_fields import (
    EVALUATION_FIELDS,
    GREEK,
    ITERATION_FIELDS,
    iteration_values,
)
from kfac_cli.recording.values import Row, SecondsLeft, clock_time, iterations_done, significant

FIRST_WIDTH = LAST_WIDTH = 9
"""Widths of iteration and time, between which the fields of an evaluation are printed."""

VALUE_WIDTHS = {field.name: field.width for _, field in ITERATION_FIELDS}
TITLE_SHARE = 0.35
FRAMES_PER_SECOND = 4

_Formatter = logging.Formatter | None


class _State(NamedTuple):
    """What the refreshing thread draws; replaced as a whole, so that it sees no partial update."""

    done: int
    values: dict[str, str]
    end: float | None
    activity: str = ""


class _Lines(io.TextIOBase):
    """A stream that hands on whole lines."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._begun = ""

    def write(self, text: str, /) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._take(line)
        return len(text)


class LiveDisplay:
    """A progress bar above the current values, redrawn `FRAMES_PER_SECOND` times a second.

    The lines are cut to the terminal's width. While it is active, warnings and log records are
    printed above it.
    """

    def __init__(self, total: int, stream: TextIO, clock: Callable[[], float]) -> None:
        self._total = total
        self._clock = clock
        self._console = Console(file=stream, force_terminal=True, highlight=False)
        self._symbols = GREEK if self._console.encoding.startswith("utf") else {}
        self._title = ""
        self._started = clock()
        self._state = _State(0, {}, None)
        self._estimated = -math.inf  # when the time left last was
        self._live: Live | None = None
        self._redirected: list[tuple[logging.StreamHandler[TextIO], TextIO, _Formatter]] = []
        self._cut = 0
        self._headed: int | None = None  # how many fields of an evaluation the heading names

    def start(self, title: str) -> None:
        self._title = title
        self._started = self._clock()
        self._live = Live(
            console=self._console,
            get_renderable=self._frame,
            refresh_per_second=FRAMES_PER_SECOND,
            redirect_stdout=sys.stdout.isatty(),  # but not output to a file
            redirect_stderr=sys.stderr.isatty(),
        )
        self._live.start(refresh=True)
        self._redirect_log_records()

    def iteration(self, row: Row, seconds_left: SecondsLeft) -> None:
        done, end, now = iterations_done(row), self._state.end, self._clock()
        if now - self._estimated >= 1 / FRAMES_PER_SECOND or done == self._total:
            left = seconds_left()
            end, self._estimated = None if left is None else now + left, now
        # some, such as rho, are known at some iterations only: show the latest value
        known = self._state.values | iteration_values(row)
        values = {name: known[name] for name in VALUE_WIDTHS if name in known}
        self._state = _State(done, values, end)

    def evaluation(self, row: Row) -> None:
        fitting = self._fitting_columns()
        if fitting != self._headed:
            names = [field.name for _, field in EVALUATION_FIELDS[:fitting]]
            self._print_columns(["iteration", *names, "time"], "dim")
            self._headed = fitting
        shown = EVALUATION_FIELDS[:fitting]
        values = [significant(row.get(metric.column)) for metric, _ in shown]
        elapsed = clock_time(self._clock() - self._started)
        self._print_columns([str(iterations_done(row)), *values, elapsed])

    def activity(self, what: str, done: int, total: int) -> None:
        self._state = self._state._replace(activity=activity_text(what, done, total))

    def message(self, text: str) -> None:
        lines = "\n".join(wrapped(text, 0, self._console.width))
        self._console.print(lines, markup=False, soft_wrap=True)

    def close(self) -> None:
        for handler, stream, formatter in self._redirected:
            handler.setStream(stream)
            handler.setFormatter(formatter)
        self._redirected = []
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._cut:
            self._cut = 0
            self.message("run.log has the warnings above in full")

    def _frame(self) -> RenderableType:
        state, now = self._state, self._clock()
        left = None if state.end is None else max(0.0, state.end - now)
        width = self._console.width
        bar = Grid.grid(expand=True, padding=(0, 1))
        bar.add_column(no_wrap=True, overflow="ellipsis", max_width=int(width * TITLE_SHARE))
        bar.add_column(ratio=1)
        bar.add_column(no_wrap=True, justify="right")
        bar.add_column(no_wrap=True, justify="right")
        bar.add_row(
            Text(self._title, style="bold"),
            ProgressBar(self._total, state.done, complete_style="cyan", finished_style="cyan"),
            Text(f"{state.done}/{self._total}"),
            Text(f"{clock_time(now - self._started)}, {clock_time(left)} left", style="dim"),
        )
        return Group(bar, self._values_line(state, width))

    def _values_line(self, state: _State, width: int) -> Text:
        """What is running, or as many current values as fit into the width, less an echoed ^C."""
        if state.activity or not state.values:
            text = state.activity or "running the first iteration"
            return Text(text, style="dim", no_wrap=True, overflow="ellipsis")
        line = Text(no_wrap=True, overflow="ellipsis")
        for name, value in state.values.items():
            shown = self._symbols.get(name, name)
            padded = f"{value:<{VALUE_WIDTHS[name]}}"
            gap = 2 if line else 0
            if len(line) + gap + len(shown) + 1 + len(value) > width - 3:
                break
            line.append(" " * gap).append(shown, style="dim").append(f" {padded}")
        line.rstrip()
        return line

    def _fitting_columns(self) -> int:
        """How many fields of an evaluation fit into the width, the most important first."""
        widths = (field.width + 1 for _, field in EVALUATION_FIELDS)
        ends = accumulate(widths, initial=FIRST_WIDTH + 1 + LAST_WIDTH)
        return max(sum(end <= self._console.width for end in ends) - 1, 0)

    def _print_columns(self, cells: list[str], style: str = "") -> None:
        fields = EVALUATION_FIELDS[: len(cells) - 2]
        widths = (FIRST_WIDTH, *(field.width for _, field in fields), LAST_WIDTH)
        text = " ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        self._console.print(Text(text, style=style), no_wrap=True, overflow="ellipsis")

    def _redirect_log_records(self) -> None:
        """Make log handlers that write to a terminal print a line above the display, each record.

        A line is cut to the terminal's width, so that the table of evaluations stays readable.
        """
        for handler in logging.getLogger().handlers:
            if not isinstance(handler, logging.StreamHandler):
                continue
            stream = handler.stream
            if stream is not None and stream.isatty():  # None for a file that is not open
                self._redirected.append((handler, stream, handler.formatter))
                handler.setStream(cast(TextIO, _Lines(self._warn)))
                handler.setFormatter(LogLine("%(levelname)s: %(message)s"))

    def _warn(self, line: str) -> None:
        text = Text(line[:1] + line[1:].replace("ARNING", "arning", 1), style="yellow")
        self._cut += text.cell_len > self._console.width
        self._console.print(text, no_wrap=True, overflow="ellipsis")
