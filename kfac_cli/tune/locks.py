"""Locks on folders and files that end with the process that holds them."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from optuna.storages.journal import JournalFileOpenLock

from kfac_cli.errors import UserError
from kfac_cli.files import shown_folder

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

PAUSE = 0.05
"""Seconds between two attempts to lock."""


class Lock:
    """A lock on an existing file or folder, which one holder at a time has.

    Raises UserError where the system or the file system has no locks: they tell which trials are
    under way.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def try_acquire(self) -> bool:
        """Lock unless another holder has; return whether it is locked now."""
        if fcntl is None:
            raise self._unsupported()
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError as error:
            os.close(descriptor)
            raise self._unsupported() from error
        self._descriptor = descriptor
        return True

    def acquire(self) -> None:
        """Wait for the lock."""
        while not self.try_acquire():
            time.sleep(PAUSE)

    def release(self) -> None:
        """Unlock; without effect if it is not locked."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _unsupported(self) -> UserError:
        return UserError(
            f"output={shown_folder(self._path)}: has no file locks, by which kfac-tune knows what "
            "is under way; choose a folder on another file system"
        )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on a file or folder, after waiting for it."""
    lock = Lock(path)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


class JournalLock(JournalFileOpenLock):
    """The lock for Optuna's journal: unlike Optuna's own, a killed process does not keep it."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._lock = Lock(path)

    def acquire(self) -> bool:
        self._lock.acquire()
        return True

    def release(self) -> None:
        self._lock.release()
