"""Atomic replacement of files, and exclusive use of folders."""

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
    """Open a file that replaces `path` when the block ends without an exception.

    The new contents are flushed to the disk before the renaming, so that a crash, even of the
    machine, leaves either the old contents or the new ones. Raises OSError, naming the file, if it
    cannot be written; the old contents are then unchanged.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with naming(path, temporary):
            # A killed process may have left one; it may also be a link.
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
    """Replace the contents of a file atomically; raises OSError as `replacing` does."""
    with replacing(path) as file:
        file.write(contents)


def replace_text(path: Path, text: str) -> None:
    """Replace the contents of a text file (UTF-8) in the same way."""
    replace_bytes(path, text.encode())


@contextlib.contextmanager
def naming(path: Path, instead_of: Path | None = None) -> Iterator[None]:
    """Make an OSError that names no file (as from writing), or `instead_of`, name `path`."""
    try:
        yield
    except OSError as error:
        vague = error.filename is None or str(error.filename) == str(instead_of)
        if vague and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, on systems that can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def typed_path(text: str) -> Path:
    """The absolute path for one that was typed: from the current folder, ~ being the home folder.

    Raises RuntimeError for the home folder of an unknown user.
    """
    return Path(text).expanduser().absolute()


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading.

    Raises OSError if it cannot be read or is not a regular file; reading a pipe could block.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return path.open("rb")


def shown_folder(folder: Path) -> Path:
    """The folder, relative to the current one if it is inside."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


@contextlib.contextmanager
def exclusive_use(folder: Path) -> Iterator[None]:
    """Lock a folder against other kfac-run processes; the lock ends with the process.

    Raises UserError if another process holds it.
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
