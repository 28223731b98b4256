"""Calls of a command in this process."""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from tidy import tidied


@dataclass(frozen=True)
class Answer:
    """The result of a call of a command."""

    code: int | str | None
    out: str
    err: str


@contextlib.contextmanager
def calling(
    command: str,
    main: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Callable[..., Answer]]:
    """Gives a function that calls `command *arguments`; Ctrl-C is handled as at a terminal."""

    def call(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", [command, *arguments])
        code: int | str | None
        try:
            code = main()
        except SystemExit as leaving:
            code = leaving.code
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with tidied():
            yield call
    finally:
        signal.signal(signal.SIGINT, before)
