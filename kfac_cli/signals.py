"""Signals that ask a run to end: the step in progress is finished first."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
"""Ctrl-C, a scheduler's polite end, and a terminal that was closed."""

EXIT_SIGNAL = 128
"""What a signal's number is added to, to become an exit code."""

SIGNALS = tuple(signal.Signals[name] for name in NAMES if name in signal.Signals.__members__)


class Interrupted(KeyboardInterrupt):
    """A signal ended what was under way; `signal` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = number


class StopRequest:
    """Within its context, a first of `SIGNALS` is noted in `signal`; a second ends at once.

    Raises Interrupted on entering if one came before and was lost.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        check_interrupted()
        self._previous = _handled_by(self._note)
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
        _handle_again(self._previous)
        self._previous = {}


class InterruptOnSignal:
    """Within its context each of `SIGNALS` unwinds the program as Interrupted, like Ctrl-C.

    So what is open is closed, and the exit code tells the signal, whenever it comes. A second one
    ends the process at once. `signal` is the first one's number: Python drops what is raised inside
    some callbacks, those of imports among them, and an import may turn it into an error of its own.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._report = sys.unraisablehook

    def __enter__(self) -> Self:
        self._report, sys.unraisablehook = sys.unraisablehook, self._report_others
        self._previous = _handled_by(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _handle_again(self._previous)
        sys.unraisablehook = self._report

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Answer a signal."""
        if self.signal is not None:
            os._exit(EXIT_SIGNAL + number)
        self.signal = number
        raise Interrupted(number)

    def check(self) -> None:
        """Raise Interrupted if a signal has come, although nothing may have been seen of it."""
        if self.signal is not None:
            raise Interrupted(self.signal)

    def _report_others(self, dropped: "sys.UnraisableHookArgs") -> None:
        if not issubclass(dropped.exc_type, Interrupted):
            self._report(dropped)


def check_interrupted() -> None:
    """Raise Interrupted if the program should be unwinding, but an import kept it from that."""
    for number in SIGNALS:
        handler = signal.getsignal(number)
        if isinstance(handler, InterruptOnSignal):
            handler.check()


def _handled_by(handler: Callable[[int, FrameType | None], None]) -> dict[signal.Signals, Any]:
    """Have `SIGNALS` answered by a handler; returns those they had.

    Outside the main thread, where Python delivers no signals, nothing is done. A SIGHUP that is
    ignored, as under nohup, stays so; a SIGINT that is, as in what a script runs in the background,
    is heard: nobody types that one by chance.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {
        number: signal.signal(number, handler)
        for number in SIGNALS
        if number.name != "SIGHUP" or signal.getsignal(number) is not signal.SIG_IGN
    }


def _handle_again(previous: dict[signal.Signals, Any]) -> None:
    for number, handler in previous.items():
        signal.signal(number, handler)
