"""Wall-clock seconds of work on the host or on a device."""

from collections.abc import Callable
from time import perf_counter

import torch


def wait_for(device: str | torch.device) -> None:
    """Return when the device has done what it was given; a CPU has."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], wait: Callable[[], None] = lambda: None) -> float:
    """Wall-clock seconds of one call; `wait` returns when a device has finished its work."""
    wait()
    started = perf_counter()
    work()
    wait()
    return perf_counter() - started
