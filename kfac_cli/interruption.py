"""Signals that ask a run to end: the step in progress is finished first."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
"""Ctrl-C, a scheduler's polite end, and a terminal that was closed."""

SIGNALS = tuple(signal.Signals[name] for name in NAMES if name in signal.Signals.__members__)


class Interrupted(KeyboardInterrupt):
    """A signal ended what was under way; `signal` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = number


class StopRequest:
    """Within its context, a first of `SIGNALS` is noted in `signal`; a second ends at once.

    Outside the main thread, where Python delivers no signals, it notes nothing. A SIGHUP that is
    ignored, as under nohup, stays so.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if number.name != "SIGHUP" or _is_heard(number):
                    self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}


@contextmanager
def unwinding() -> Iterator[None]:
    """Let every signal of `SIGNALS` unwind the program like Ctrl-C, as Interrupted.

    So what is open is closed, and the exit code tells the signal, whenever it comes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [number for number in SIGNALS if number != signal.SIGINT and _is_heard(number)]
    previous = {number: signal.signal(number, _unwind) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _unwind(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


def _is_heard(number: signal.Signals) -> bool:
    return signal.getsignal(number) is not signal.SIG_IGN
