"""The processors that this process may use, and how busy other programs keep the machine."""

import math
import os
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/")

MIN_SECONDS = 0.5
"""Over a shorter time the kernel's counters, of a hundredth of a second, say little."""

TOLERATED = 0.5
"""Processors that others may take from the threads of a run without slowing it down much."""


def usable_processors(root: Path = ROOT) -> int:
    """How many processors the affinity and the quotas of the container leave, at least 1.

    The quotas are those of Linux's control groups, versions 1 and 2, of this process and all groups
    around it, below `root`. A part of a processor counts as a whole one.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    quotas = [quota for quota in _quotas(root) if quota > 0]
    return max(1, min([count, *(math.ceil(quota) for quota in quotas)]))


def _quotas(root: Path) -> list[float]:
    """The quotas in processors of each control group that this process is in."""
    found = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers == "":  # version 2
            bases, read = [root / "sys/fs/cgroup"], _quota_v2
        elif "cpu" in controllers.split(","):
            bases = [root / "sys/fs/cgroup" / name for name in (controllers, "cpu")]
            read = _quota_v1
        else:
            continue
        inner = Path(group.strip("/"))
        # Inside a container the group may be named as on the host, and be mounted at the base.
        folders = {base / part for base in bases for part in (inner, *inner.parents)}
        found += [read(folder) for folder in sorted(folders)]
    return [quota for quota in found if quota is not None]


def _quota_v2(folder: Path) -> float | None:
    words = _text(folder / "cpu.max").split()
    return _ratio(*words) if len(words) == 2 else None


def _quota_v1(folder: Path) -> float | None:
    return _ratio(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    """The quota in processors; None for "max", -1 and anything else that is no limit."""
    try:
        return int(quota) / int(period) if int(quota) > 0 else None
    except (ValueError, ZeroDivisionError):
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


class Load(NamedTuple):
    """Seconds at one moment: of a clock, of this process, and of all processes together.

    The last is None where the system does not tell.
    """

    wall: float
    own: float
    all: float | None

    @classmethod
    def now(cls) -> "Load":
        """The load up to now."""
        return cls(time.perf_counter(), time.process_time(), _busy_seconds())


def _busy_seconds() -> float | None:
    """Seconds that processors were not idle, of all together, since the machine started; Linux."""
    line = _text(Path("/proc/stat")).partition("\n")[0].split()
    if line[:1] != ["cpu"] or len(line) < 6:
        return None
    ticks = [int(word) for word in line[1:9]]
    idle = ticks[3] + ticks[4]  # and waiting for a device
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")


def busy_warning(before: Load, after: Load, threads: int, processors: int) -> str | None:
    """A line if other programs leave too few of all `processors` to the threads; None if not.

    None too if the time between was too short to say. Threads that wait for one another lose far
    more than the share that the others take.
    """
    seconds = after.wall - before.wall
    if before.all is None or after.all is None or seconds < MIN_SECONDS or threads == 1:
        return None
    others = (after.all - before.all - (after.own - before.own)) / seconds
    if others < processors - threads + TOLERATED:
        return None
    free = max(1, math.floor(processors - others))
    return f"others use {others:.1f} of {processors} processors; threads={free} may be much faster"
