"""Where the metrics of a run go: sinks, each of which takes every row and decides nothing."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from kfac_cli.recording.values import Row

logger = logging.getLogger(__name__)

Summary = Mapping[str, Any]


class Sink(Protocol):
    """Takes the metrics of a run; a class that derives from this one ignores what it leaves out."""

    def iteration(self, row: Row) -> None:
        """Take a row of metrics.csv."""
        return

    def evaluation(self, row: Row) -> None:
        """Take a row of evaluations.csv."""
        return

    def flush(self) -> None:
        """Bring everything taken so far to the disk: a checkpoint will be written."""
        return

    def finish(self, summary: Summary) -> None:
        """Take the summary at the end of the run."""
        return

    def close(self) -> None:
        """Release files, whether or not the run has ended in order."""
        return


@dataclass(frozen=True)
class _Entry:
    name: str
    sink: Sink
    required: bool


class Sinks:
    """Hands everything to each sink, in the order in which they were added.

    A sink that raises an exception is dropped with a warning in the log, unless it is required.
    """

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def add(self, name: str, make: Callable[[], Sink], *, required: bool = False) -> None:
        """Make a sink, which may fail like all that it does later; `name` is for the warning."""

        def append() -> None:
            self._entries.append(_Entry(name, make(), required))

        _attempt(name, append, required)

    def iteration(self, row: Row) -> None:
        """Hand on a row of metrics.csv."""
        self._each(lambda sink: sink.iteration(row))

    def evaluation(self, row: Row) -> None:
        """Hand on a row of evaluations.csv."""
        self._each(lambda sink: sink.evaluation(row))

    def flush(self) -> None:
        """Bring everything to the disk."""
        self._each(lambda sink: sink.flush())

    def finish(self, summary: Callable[[], Summary]) -> None:
        """Hand the summary, as it is at that moment, to one sink after the other."""
        for entry in list(self._entries):
            self._give(entry, partial(entry.sink.finish, summary()))

    def close(self) -> None:
        """Close every sink."""
        self._each(lambda sink: sink.close())

    def _each(self, action: Callable[[Sink], None]) -> None:
        for entry in list(self._entries):
            self._give(entry, partial(action, entry.sink))

    def _give(self, entry: _Entry, action: Callable[[], None]) -> None:
        if not _attempt(entry.name, action, entry.required):
            self._entries.remove(entry)


def _attempt(name: str, action: Callable[[], None], required: bool) -> bool:
    """Do something; False if it failed, which is an exception only if it is required."""
    try:
        action()
    except Exception as error:
        if required:
            raise
        logger.warning("%s failed; continuing without it: %s", name, error)
        return False
    return True
