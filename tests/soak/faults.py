"""Harm at a chosen moment: the n-th thing that a process does to the files of one folder.

Counted are: opening a file to write, every write that reaches the system, flushing to the disk,
renaming and removing. No device, mount or user is needed, so it works anywhere.
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
"""Is given the path for what names it in an error, None for writing and flushing."""


def killed(path: object) -> None:
    """The process ends as if the power had gone."""
    os.kill(os.getpid(), signal.SIGKILL)


def failing(number: int) -> Harm:
    """The system answers with an error, e.g. errno.ENOSPC."""

    def harm(path: object) -> None:
        raise OSError(number, os.strerror(number), *([] if path is None else [path]))

    return harm


disk_full = failing(errno.ENOSPC)


class Faults:
    """Counts what happens to files below `root`, and from the event number `first` on does harm.

    `count` is the number of events so far. Half of what was to be written still gets written, as
    on a disk that fills up. Only events are harmed for whose path `concerns` is true.
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
        """Count an event; whether it is to be harmed."""
        name = self._below_root(path)
        if name is None or not self._concerns(name):
            return False
        with self._lock:
            self.count += 1
            return self._first is not None and self.count >= self._first

    @contextlib.contextmanager
    def active(self) -> Iterator["Faults"]:
        """Put the counting in the place of the system's own functions, and take it away again."""
        kept = {
            name: getattr(os, name) for name in ("fsync", "replace", "rename", "unlink", "remove")
        }
        builtins.open = io.open = self._open_file  # type: ignore[assignment]
        os.fsync = self._guarded(kept["fsync"])
        for name in ("replace", "rename", "unlink", "remove"):
            setattr(os, name, self._guarded(kept[name]))
        try:
            yield self
        finally:
            self._first = None  # files that are still open work again
            builtins.open = io.open = self._open
            for name, function in kept.items():
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
