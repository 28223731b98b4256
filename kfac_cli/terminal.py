"""Standard output and error that never fail, so that the terminal cannot change a run."""

import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from kfac_cli.error_line import print_error

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STANDARD_OUTPUT, STANDARD_ERROR = 1, 2


class TolerantFile(io.FileIO):
    """A file that accepts everything: what cannot be written is lost.

    `lost` is the first error, None if nothing was lost.
    """

    lost: OSError | None = None

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write as much as possible, waiting for a pipe that is full; return the data's length."""
        rest = memoryview(data).cast("B")
        length = len(rest)
        try:
            while rest:
                written = super().write(rest)
                if written is None:  # a full pipe that does not block
                    select.select([], [self], [])
                rest = rest[written or 0 :]
        except OSError as error:
            self.lost = self.lost or error
        return length


@contextlib.contextmanager
def tolerant_output() -> Iterator[None]:
    """Replace sys.stdout and sys.stderr, through which all output goes, by streams that never fail.

    A closed pipe, a full disk or a terminal that is gone loses text and raises nothing. A character
    that the stream's encoding does not have is written as its escape. Streams that are no files,
    such as those of a test, stay; so do those that are tolerant already.
    """
    before = sys.stdout, sys.stderr
    _open_standard_files()
    sys.stdout = _tolerant(sys.stdout, STANDARD_OUTPUT)
    sys.stderr = _tolerant(sys.stderr, STANDARD_ERROR)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


def exit_code_of_text(command: str = "kfac-run") -> int:
    """The exit code of a command that only prints: 1 if text was lost, otherwise 0.

    The reason is printed to standard error. A reader that has read enough is none.
    """
    sys.stdout.flush()
    file = getattr(sys.stdout, "buffer", None)
    lost = file.lost if isinstance(file, TolerantFile) else None
    if lost is None or lost.errno == errno.EPIPE:
        return 0
    return print_error(command, f"standard output: {lost.strerror}")


def _open_standard_files() -> None:
    """Open the null device as each standard file that is closed.

    Otherwise the next file to be opened, such as a table, would serve as standard output.
    """
    for number in (0, STANDARD_OUTPUT, STANDARD_ERROR):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)


def _tolerant(stream: TextIO | None, number: int) -> TextIO:
    """A stream that writes to the same file as `stream`, standard file `number` if it is None."""
    encoding, line_buffering = "utf-8", False
    if stream is not None:
        try:
            number = stream.fileno()
        except (OSError, ValueError):  # no file
            return stream
        with contextlib.suppress(OSError):
            stream.flush()
        encoding = stream.encoding
        line_buffering = getattr(stream, "line_buffering", False)
    if isinstance(getattr(stream, "buffer", None), TolerantFile):
        assert stream is not None
        return stream
    return io.TextIOWrapper(
        TolerantFile(number, "wb", closefd=False),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=line_buffering,
        write_through=getattr(stream, "write_through", False),
    )
