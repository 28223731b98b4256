"""The environment of a run: versions, machine, threads, memory."""

import contextlib
import gc
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from kfac_cli.config.device_kind import device_kind

RECORDED_PACKAGES = ("kfac-run", "torch", "torchvision", "numpy", "hydra-core")

VERSIONS = ("python", *RECORDED_PACKAGES, "cuda")

DECIDES_SECONDS = ("device_name", "thread_count", "processes", "matmul", *VERSIONS)
"""The entries of a run's environment on which its seconds depend, besides the kind of device."""


def what_decides_seconds(environment: Mapping[str, object]) -> dict[str, object]:
    """The part of an environment on which seconds depend.

    Of several equal GPUs it does not matter which one it was.
    """
    kind = device_kind(environment.get("device"))
    return {"device": kind, **{name: environment.get(name) for name in DECIDES_SECONDS}}


def environment(device: object = "cpu") -> dict[str, object]:
    """Describe what results, timings and bitwise equality depend on, for a torch device.

    Versions of python and packages (None if not installed), platform, thread_count, device,
    device_name, and cuda (the version that torch was built with, or None).
    """
    import torch

    chosen = torch.device(str(device))
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in RECORDED_PACKAGES},
        "cuda": torch.version.cuda,
        "platform": platform.platform(),
        "thread_count": torch.get_num_threads(),
        "device": str(chosen),
        "device_name": (
            torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else _processor_name()
        ),
    }


def reset_peak_memory(device: object = "cpu") -> None:
    """Begin `peak_memory` anew, for the next run in this process, where the system can.

    What an earlier run left on a GPU is freed.
    """
    import torch

    chosen = torch.device(str(device))
    if chosen.type == "cuda":
        torch.cuda.current_device()  # starts CUDA, which statistics of a named GPU need
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(chosen)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the high-water mark only


def peak_memory(device: object = "cpu") -> int:
    """The peak memory in bytes since `reset_peak_memory`.

    On a GPU this is what torch allocated. On the CPU it is the resident memory of the whole
    process, on systems other than Linux including earlier runs in the same process (a multirun).
    """
    import torch

    chosen = torch.device(str(device))
    if chosen.type == "cuda":
        return int(torch.cuda.max_memory_allocated(chosen))
    return _peak_resident_bytes()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor_name() -> str:
    return _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()


def _peak_resident_bytes() -> int:
    """The kernel's high-water mark; the portable ru_maxrss starts at the parent's value."""
    high_water = _field("/proc/self/status", "VmHWM")
    if high_water is not None:
        return int(high_water.split()[0]) * 1024
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _field(path: str, name: str) -> str | None:
    """The value in a `name : value` line of a text file of the kernel."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None
