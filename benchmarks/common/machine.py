"""What a time depends on: processor, cores, threads, versions, GPU."""

import os
import platform
from dataclasses import dataclass

import torch

from kfac_cli.recording.environment import environment


@dataclass(frozen=True)
class Machine:
    """The machine and the versions, as text and as a key for results that can be compared."""

    processor: str
    cores: int
    threads: int
    python: str
    torch: str
    gpu: str | None

    @classmethod
    def here(cls, device: str = "cpu") -> "Machine":
        """Describe this machine; a GPU only if `device` is one."""
        processor = str(environment("cpu")["device_name"])
        gpu = str(environment(device)["device_name"]) if device != "cpu" else None
        return cls(
            processor,
            _cores(),
            torch.get_num_threads(),
            platform.python_version(),
            torch.__version__,
            gpu,
        )

    def __str__(self) -> str:
        parts = [f"{self.processor}, {self.cores} cores, {self.threads} threads"]
        if self.gpu is not None:
            parts.insert(0, self.gpu)
        return "; ".join([*parts, f"Python {self.python}, torch {self.torch}"])


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
