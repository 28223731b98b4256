"""The one exception for mistakes that a user can mend, and how a line about one is shown."""

import logging

LONGEST_LINE = 1000


class UserError(Exception):
    """A mistake in a setting or a file: one line that names it, its value and the way out."""


def one_line(text: str) -> str:
    """The text as one line that a terminal can show, whatever names and values stand in it.

    What is not printable is escaped, line breaks and a terminal's control codes too; of a line too
    long to read the middle is left out.
    """
    if len(text) > LONGEST_LINE:
        text = f"{text[: LONGEST_LINE * 2 // 3]} ... {text[-LONGEST_LINE // 4 :]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class LogLine(logging.Formatter):
    """A log's line, shown in the same way: it may quote what a file from elsewhere holds."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return one_line(super().formatMessage(record))
