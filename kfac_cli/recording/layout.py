"""Text laid out between the edges of a terminal: lines that break between words, never within."""

import os
import textwrap
from collections.abc import Iterable, Sequence
from typing import TextIO

WIDTH = 80
"""Columns of what is printed, beyond which only paths reach, on a terminal that has as many."""

NARROWEST = 30
"""Columns that a description has beside its name; with fewer it stands below."""


def terminal_width(stream: TextIO) -> int:
    """The columns to print in: those of the terminal that `stream` is, at most WIDTH."""
    return min(_columns(stream) or WIDTH, WIDTH)


def _columns(stream: TextIO) -> int | None:
    """The columns of the terminal that `stream` is, None if it is none or has an unknown width."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):  # no terminal, or not even a file
        return None


def command_with_purpose(command: str, purpose: str, stream: TextIO) -> str:
    """A command to copy, and what it does: beside it or, on too narrow a terminal, below."""
    line, columns = f"  {command}  {purpose}", _columns(stream)
    if columns is None or len(line) <= columns:
        return line
    return f"  {command}\n    {purpose}"


def wrapped(line: str, indent: int, width: int) -> list[str]:
    """The line, or several, of which all but the first are indented; a long word stays whole."""
    return textwrap.wrap(
        line,
        max(width, 1),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def described(pairs: Iterable[tuple[str, str]], indent: int, width: int) -> list[str]:
    """Lines of names, each with its description, which may be empty, beside it or below."""
    listed: Sequence[tuple[str, str]] = list(pairs)
    column = indent + max((len(name) for name, text in listed if text), default=0) + 2
    beside = width - column >= NARROWEST
    lines = []
    for name, text in listed:
        start = f"{'':{indent}}{name}"
        if beside and text:
            first, *more = wrapped(text, 0, width - column)
            lines += [f"{start:<{column}}{first}", *(f"{'':{column}}{line}" for line in more)]
        else:
            below = indent + 2
            lines += [start, *(f"{'':{below}}{line}" for line in wrapped(text, 0, width - below))]
    return lines
