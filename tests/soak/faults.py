"""Fault injection: harm at the n-th operation of a process on the files of one folder.

Operations are opening a file to write, each write system call, flushing to the disk, renaming and
removing. It needs no special device, mount or user.
"""

import builtins
import contextlib
import errno
import io
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

Harm = Callable[[object], None]
"""Called with the path for operations whose errors name it, None for writing and flushing."""


def killed(path: object) -> None:
    """Kill the process."""
    os.kill(os.getpid(), signal.SIGKILL)


def failing(number: int) -> Harm:
    """Raise a system error, such as errno.ENOSPC."""

    def harm(path: object) -> None:
        raise OSError(number, os.strerror(number), *([] if path is None else [path]))

    return harm


disk_full = failing(errno.ENOSPC)


class Faults:
    """Counts the operations on files below `root`, and does harm from number `first` on.

    `count` is the number of operations so far. Half of the data to be written is still written, as
    on a disk that fills up. Only paths for which `concerns` is true count.
    """

    def __init__(
        self,
        root: Path,
        first: int | None = None,
        harm: Harm = killed,
        concerns: Callable[[str], bool] = lambda path: True,
    ) -> None:
        self.count = 0
        self._root = str(root.absolute())
        self._first = first
        self.harm = harm
        self._concerns = concerns
        self._lock = threading.Lock()
        self._open = builtins.open

    def event(self, path: object) -> bool:
        """Count an operation; whether to do harm."""
        name = self._below_root(path)
        if name is None or not self._concerns(name):
            return False
        with self._lock:
            self.count += 1
            return self._first is not None and self.count >= self._first

    @contextlib.contextmanager
    def active(self) -> Iterator["Faults"]:
        """Replace the system functions by counting ones within the context."""
        originals = {
            name: getattr(os, name) for name in ("fsync", "replace", "rename", "unlink", "remove")
        }
        builtins.open = io.open = self._open_file  # type: ignore[assignment]
        os.fsync = self._guarded(originals["fsync"])
        for name in ("replace", "rename", "unlink", "remove"):
            setattr(os, name, self._guarded(originals[name]))
        try:
            yield self
        finally:
            self._first = None  # files that are still open work again
            builtins.open = io.open = self._open
            for name, function in originals.items():
                setattr(os, name, function)

    def _guarded(self, function):
        def guarded(*arguments, **keywords):
            if self.event(arguments[0]):
                self.harm(None if isinstance(arguments[0], int) else arguments[0])
            return function(*arguments, **keywords)

        return guarded

    def _below_root(self, path: object) -> str | None:
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        name = os.path.abspath(os.fsdecode(path))
        return name if name.startswith(self._root) else None

    def _open_file(
        self, file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, **k
    ):
        writes = isinstance(file, str | bytes | os.PathLike) and set(mode) & set("wax+")
        if not writes or self._below_root(file) is None:
            return self._open(file, mode, buffering, encoding, errors, newline, **k)
        if self.event(file):
            self.harm(file)
        raw = _CountedFile(os.fspath(file), mode.replace("b", "").replace("t", ""), self)
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)


class _CountedFile(io.FileIO):
    def __init__(self, path: str, mode: str, faults: Faults) -> None:
        super().__init__(path, mode)
        self._faults = faults
        self._path = path

    def write(self, data) -> int:
        if self._faults.event(self._path):
            super().write(memoryview(data)[: len(data) // 2])
            self._faults.harm(None)
        return super().write(data)
