"""Atomic replacement of files, appending to files, and exclusive use of folders."""

import contextlib
import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextvars import ContextVar
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

from kfac_cli.errors import UserError

try:
    import fcntl
except ImportError:  # not a Unix: there the folder is not locked
    fcntl = None  # type: ignore[assignment]

TEMPORARY = ".kfac-run.tmp"
"""What follows a file's name while its new contents are written; only this program names so."""

LONGEST_NAME = 64
"""Characters in the name of a folder that is made from other text."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces `path` when the block ends without an exception.

    The new contents are flushed to the disk before the renaming, so that a crash, even of the
    machine, leaves either the old contents or the new ones. Raises OSError, naming the file, if it
    cannot be written; the old contents are then unchanged.
    """
    temporary = path.with_name(path.name + TEMPORARY)
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


def open_for_appending(path: Path) -> TextIOWrapper:
    """Open a text file (UTF-8) for appending; it is created if missing.

    Nothing outside its folder changes: a file with other names elsewhere (hard links) is first
    replaced by a copy. Raises OSError, naming the file, if it cannot be written, is a symbolic link
    or is not a regular file.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "it is a link", str(path))
    if path.exists():
        if not path.is_file():
            raise OSError(errno.EINVAL, "it is not a file", str(path))
        if path.stat().st_nlink > 1:
            with path.open("rb") as shared, replacing(path) as own:
                shutil.copyfileobj(shared, own)
    return open(path, "a", encoding="utf-8", newline="", opener=_open_own)


def _open_own(path: str, flags: int) -> int:
    """Open a regular file with a single name, even if it was exchanged since it was examined."""
    unusual = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags | unusual, 0o666)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a file of its own", path)
    return descriptor


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


CANNOT_FLUSH = (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)
"""What file systems say that cannot flush a folder, such as those that virtual machines share."""


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, on systems and file systems that can."""
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder may be writable without being readable
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in CANNOT_FLUSH:
            raise
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


def safe_name(text: str) -> str:
    """The text as the name of a folder, at most `LONGEST_NAME` characters.

    Quotes are left out, and other characters than letters, digits and `_.=,+-` become `_`.
    """
    return re.sub(r"[^A-Za-z0-9_.=,+-]", "_", re.sub("['\"]", "", text))[:LONGEST_NAME]


_TYPED_IN: ContextVar[Path | None] = ContextVar("typed_in", default=None)


@contextlib.contextmanager
def current_folder(folder: Path) -> Iterator[None]:
    """Make a folder the current one; `shown_folder` still means the one where that was typed."""
    token = _TYPED_IN.set(Path.cwd())
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        _TYPED_IN.reset(token)


def shown_folder(folder: Path) -> Path:
    """The folder, relative to the one where the command was typed if it is inside."""
    here = _TYPED_IN.get() or Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


@contextlib.contextmanager
def exclusive_use(folder: Path, shared: bool = False) -> Iterator[None]:
    """Lock a folder against other kfac-run processes; the lock ends with the process.

    With `shared`, other processes may hold it too if they also share it. Raises UserError if
    another process holds it.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{shown_folder(folder)}: is in use by another kfac-run process"
            ) from None
        except OSError:  # some network file systems cannot lock a folder
            pass
        yield
    finally:
        os.close(descriptor)
