"""The exception for errors that a user can correct, and the formatting of its one line."""

import contextlib
import json
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

logger = logging.getLogger(__name__)

MAX_LINE_LENGTH = 1000
MAX_SHOWN_LENGTH = 60

Choice = TypeVar("Choice")


class UserError(Exception):
    """An error in a setting or a file: one line that names it, its value and how to correct it."""


class ProcessLostError(RuntimeError):
    """Another process of the run has ended, does not answer, or has other parameters."""


def one_line(text: str) -> str:
    """The text as one printable line.

    Line breaks, control codes and other unprintable characters are escaped; the middle of a very
    long line is omitted.
    """
    if len(text) > MAX_LINE_LENGTH:
        text = f"{text[: MAX_LINE_LENGTH * 2 // 3]} ... {text[-MAX_LINE_LENGTH // 4 :]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def error_text(error: Exception) -> str:
    """What an error says: that of the system with the file where it names one, a bug's by type."""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror or error}"
    if isinstance(error, ProcessLostError | UserError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


class LogLine(logging.Formatter):
    """Formats log records with `one_line`, since they may quote untrusted files."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return one_line(super().formatMessage(record))


def shown(value: object) -> str:
    """The value as it is written on the command line, on one line of limited length."""
    text = written(value)
    return text if len(text) <= MAX_SHOWN_LENGTH else text[: MAX_SHOWN_LENGTH - 3] + "..."


def written(value: object) -> str:
    """The whole value as it is written on the command line, on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 256:
        # Python refuses to print integers of more than 4300 digits.
        return f"(a number of {value.bit_length()} bits)"
    if isinstance(value, str):
        plain = value.isprintable() and value == value.strip() and value != ""
        return value if plain else json.dumps(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{written(k)}:{written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(map(written, value)) + "]"
    return " ".join(str(value).split())


def listed(options: Sequence[str]) -> str:
    """The options as text: "a", "a or b", "a, b or c"."""
    return " or ".join([", ".join(options[:-1]), options[-1]]) if len(options) > 1 else options[0]


def counted(count: int, noun: str) -> str:
    """A number of things in words: "1 word", "2 words"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def choose(option: str, value: str, known: Mapping[str, Choice]) -> Choice:
    """The entry of `known` for `value`; raises ValueError, naming `option`, if there is none."""
    if value not in known:
        raise ValueError(f"{option}={value!r}: must be one of {', '.join(known)}")
    return known[value]


@contextlib.contextmanager
def background_errors_logged() -> Iterator[None]:
    """Log the exceptions of helper threads, and ignore a log that cannot be written.

    TensorBoard's writer also raises its error in the main thread, which handles it.
    """
    before = logging.raiseExceptions, threading.excepthook
    logging.raiseExceptions, threading.excepthook = False, _log
    try:
        yield
    finally:
        logging.raiseExceptions, threading.excepthook = before


def _log(failure: threading.ExceptHookArgs) -> None:
    name = "a thread" if failure.thread is None else failure.thread.name
    logger.info("%s ended: %r", name, failure.exc_value)
