"""Files that are replaced whole or not at all, and folders that one process has to itself."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from kfac_cli.errors import UserError

try:
    import fcntl
except ImportError:  # not a Unix: there the folder is not locked
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` once the block has ended well.

    What was written is on the disk before the name changes, so that a crash, of the machine too,
    leaves either the old contents or the new ones.

    Raises:
        OSError: the file cannot be written; the error names it, the old contents are untouched.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with naming(path, temporary):
            # One may be left from a process that was killed, and may be a link to anywhere.
            temporary.unlink(missing_ok=True)
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            flush_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def replace_bytes(path: Path, contents: bytes | memoryview) -> None:
    """Give a file new contents, whole or not at all; raises OSError as `replacing` does."""
    with replacing(path) as file:
        file.write(contents)


def replace_text(path: Path, text: str) -> None:
    """Give a text file new contents (UTF-8) in the same way."""
    replace_bytes(path, text.encode())


@contextlib.contextmanager
def naming(path: Path, instead_of: Path | None = None) -> Iterator[None]:
    """Let an OSError that names no file, as one from writing does, or `instead_of` name `path`."""
    try:
        yield
    except OSError as error:
        vague = error.filename is None or str(error.filename) == str(instead_of)
        if vague and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def flush_folder(folder: Path) -> None:
    """Have the names of a folder's files on the disk, on systems where a folder can be flushed."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading.

    Raises OSError for one that cannot be read and for what is no file: a pipe under a file's name
    would keep its reader waiting for ever.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return path.open("rb")


def shown_folder(folder: Path) -> Path:
    """The folder as a person in the current directory would name it."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


@contextlib.contextmanager
def exclusive_use(folder: Path) -> Iterator[None]:
    """Hold a folder against other processes of kfac-run; the lock goes when the process does.

    Raises UserError if another one holds it.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{shown_folder(folder)}: is in use by another kfac-run process"
            ) from None
        except OSError:  # some network file systems cannot lock a folder
            pass
        yield
    finally:
        os.close(descriptor)
