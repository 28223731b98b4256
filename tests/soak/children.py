"""kfac-run in child processes forked from this one, which has already imported everything.

Importing torch takes seconds; a forked child starts at once, which allows many kills per minute.
No thread may run in the parent when it forks: OMP_NUM_THREADS must be 1.
"""

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kfac_cli.__main__ import main

from .faults import Faults

BUG = 70


@dataclass(frozen=True)
class Outcome:
    """How a child ended: its exit code or minus the signal, its output and its duration."""

    code: int
    out: str
    err: str
    seconds: float


def run_child(
    words: Sequence[str],
    folder: Path,
    faults: Faults | None = None,
    interrupt: Callable[[int], None] | None = None,
) -> Outcome:
    """Call `kfac-run *words` in `folder`; `interrupt` is given the child's process number."""
    started = time.perf_counter()
    out, err = folder / "out.txt", folder / "err.txt"
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process == 0:
        _run_as_child(words, folder, out, err, faults)
    try:
        if interrupt is not None:
            interrupt(process)
        _, status = os.waitpid(process, 0)
    except BaseException:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        raise
    code = os.waitstatus_to_exitcode(status)
    return Outcome(code, out.read_text(), err.read_text(), time.perf_counter() - started)


def _run_as_child(
    words: Sequence[str], folder: Path, out: Path, err: Path, faults: Faults | None
) -> None:
    """Never returns, so that the child does not continue as a second parent."""
    code = BUG
    try:
        for number, path in ((1, out), (2, err)):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(descriptor, number)
        os.chdir(folder)
        sys.argv = ["kfac-run", *words]
        with faults.active() if faults is not None else contextlib.nullcontext():
            code = main()
        if faults is not None:
            (folder / "events.txt").write_text(str(faults.count))
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def after(seconds: float, *numbers: int, pause: float = 0.0) -> Callable[[int], None]:
    """Send signals to a child that is still running, the first after `seconds`."""

    def interrupt(process: int) -> None:
        time.sleep(seconds)
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)
            time.sleep(pause)

    return interrupt
