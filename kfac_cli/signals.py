"""Handling of the signals that ask a run to stop."""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
"""Ctrl-C, a request to terminate, and a closed terminal."""

WARNING_NAMES = ("SIGUSR1", "SIGUSR2", "SIGXCPU")
"""What schedulers send before they terminate a job, and the system at a limit of processor time."""

EXIT_SIGNAL = 128
"""An exit code is this plus the signal's number."""

_KNOWN = signal.Signals.__members__
WARNINGS = tuple(_KNOWN[name] for name in WARNING_NAMES if name in _KNOWN)
SIGNALS = (*(_KNOWN[name] for name in NAMES if name in _KNOWN), *WARNINGS)

STAY_IGNORED = ("SIGHUP", *WARNING_NAMES)
"""Those that are not handled where the parent process ignored them, as nohup does."""


class Interrupted(KeyboardInterrupt):
    """A signal interrupted the program; `signal` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = number


class StopRequest:
    """A context in which the first of `SIGNALS` only sets `signal`; the next is handled as before.

    So a run can finish the step in progress. Those of `WARNINGS` never count as the next: systems
    repeat them, and a scheduler's SIGTERM after one must not interrupt the saving. Raises
    Interrupted on entry if an earlier signal's exception was swallowed.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        check_interrupted()
        self._previous = _install(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = number
        if number not in WARNINGS:
            _reinstall({n: h for n, h in self._previous.items() if n not in WARNINGS})

    def _restore(self) -> None:
        _reinstall(self._previous)
        self._previous = {}


class InterruptOnSignal:
    """A context in which the first of `SIGNALS` raises Interrupted; the second exits immediately.

    The second of `WARNINGS` does nothing.

    So open files are closed and the exit code names the signal. `signal` is the first one's number:
    Python ignores exceptions in some callbacks, such as those of imports, and an import may raise
    another exception instead.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._ignores = False
        self._previous: dict[signal.Signals, Any] = {}
        self._report = sys.unraisablehook

    def __enter__(self) -> Self:
        _ACTIVE.append(self)
        self._report, sys.unraisablehook = sys.unraisablehook, self._report_except_interrupted
        self._previous = _install(self)
        return self

    def __exit__(self, *_: object) -> None:
        _ACTIVE.remove(self)
        _reinstall(self._previous)
        sys.unraisablehook = self._report

    def ignore(self) -> None:
        """Ignore the signals from now on, and forget the one that came."""
        self.signal, self._ignores = None, True

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self._ignores:
            return
        if self.signal is not None:
            if number in WARNINGS:
                return
            os._exit(EXIT_SIGNAL + number)
        self.signal = number
        raise Interrupted(number)

    def check(self) -> None:
        """Raise Interrupted if a signal came whose exception may have been swallowed."""
        if self.signal is not None:
            raise Interrupted(self.signal)

    def _report_except_interrupted(self, dropped: "sys.UnraisableHookArgs") -> None:
        if not issubclass(dropped.exc_type, Interrupted):
            self._report(dropped)


_ACTIVE: list[InterruptOnSignal] = []


def ignore_signals() -> None:
    """Ignore those of `SIGNALS` from now on, and that came: the program ends for another reason."""
    for interrupt in _ACTIVE:
        interrupt.ignore()


def exit_code_of(name: str, command: Callable[[], int]) -> int:
    """The exit code of a command, 128 + a signal's number if one of `SIGNALS` interrupted it.

    Then a line with the command's name says so.
    """
    interrupt = InterruptOnSignal()
    try:
        with interrupt:
            code = command()
            interrupt.check()
            return code
    except KeyboardInterrupt as interruption:
        number = int(getattr(interruption, "signal", signal.SIGINT))
    except BaseException:  # interrupted code may raise another error instead
        if interrupt.signal is None:
            raise
        number = interrupt.signal
    ignore_warnings_at_exit()
    print(f"{name}: interrupted", file=sys.stderr)
    return EXIT_SIGNAL + number


def check_interrupted() -> None:
    """Raise Interrupted if a signal came whose exception was swallowed, as imports may do."""
    for number in SIGNALS:
        handler = signal.getsignal(number)
        if isinstance(handler, InterruptOnSignal):
            handler.check()


def ignore_warnings_at_exit() -> None:
    """Ignore `WARNINGS` once Python ends, which would else be killed by one that is repeated."""
    atexit.register(lambda: [signal.signal(number, signal.SIG_IGN) for number in WARNINGS])


def _install(handler: Callable[[int, FrameType | None], None]) -> dict[signal.Signals, Any]:
    """Install a handler for `SIGNALS` and return the previous ones.

    Does nothing outside the main thread, where Python delivers no signals. Those in `STAY_IGNORED`
    stay ignored; an ignored SIGINT, as in a script's background jobs, does not, since it is only
    sent on purpose.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {
        number: signal.signal(number, handler)
        for number in SIGNALS
        if number.name not in STAY_IGNORED or signal.getsignal(number) is not signal.SIG_IGN
    }


def _reinstall(previous: dict[signal.Signals, Any]) -> None:
    for number, handler in previous.items():
        signal.signal(number, handler)
