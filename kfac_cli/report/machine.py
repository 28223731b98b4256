"""What a run's seconds depend on besides its settings, as its summary records it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kfac_cli.config.device_kind import device_kind
from kfac_cli.errors import counted
from kfac_cli.recording.environment import VERSIONS


@dataclass(frozen=True)
class Environment:
    """What a run's seconds depend on; entries that were not recorded are None.

    `matmul` is how matrices were multiplied, which the setting `auto` leaves to the processor.
    `mixed` says that the run was resumed in another environment: this one is then the last.
    `start` is the run that this one started from, whose seconds are not in its own, though its
    iterations and cases are counted from that one's beginning; None if it started by itself.
    """

    device: str | None
    device_name: str | None
    threads: int | None
    processes: int
    matmul: str | None
    versions: Mapping[str, str | None]
    mixed: bool = False
    start: str | None = None

    @property
    def machine(self) -> tuple[object, ...] | None:
        """Equal for runs in the same environment.

        None if too little was recorded, or if the run was in several.
        """
        if self.mixed or self.device is None or self.device_name is None or self.threads is None:
            return None
        device = (device_kind(self.device), self.device_name)
        own = (*device, self.threads, self.processes, self.matmul)
        return (*own, *sorted(self.versions.items()))

    @property
    def key(self) -> tuple[object, ...] | None:
        """Equal for runs whose seconds can be compared, which have the same start too."""
        return None if self.machine is None else (*self.machine, self.start)

    def __str__(self) -> str:
        threads = "" if self.threads is None else f", {counted(self.threads, 'thread')}"
        processes = "" if self.processes == 1 else f", {self.processes} processes"
        matmul = "" if self.matmul is None else f", matmul={self.matmul}"
        torch = self.versions.get("torch")
        version = "" if torch is None else f", torch {torch}"
        machine = self.device_name or self.device or "unknown machine"
        return f"{machine}{threads}{processes}{matmul}{version}"


def environment_of(summary: Mapping[str, Any], start_from: object = None) -> Environment:
    """The environment that the summary of a run describes; `start_from` is its setting."""

    def text(name: str) -> str | None:
        value = summary.get(name)
        return None if value is None else str(value)

    threads = summary.get("thread_count")
    return Environment(
        device=text("device"),
        device_name=text("device_name"),
        threads=threads if isinstance(threads, int) else None,
        processes=processes_of(summary),
        matmul=text("matmul"),
        versions={name: text(name) for name in VERSIONS},
        mixed=summary.get("mixed_environment") is True,
        start=None if start_from is None else str(start_from),
    )


def processes_of(summary: Mapping[str, Any]) -> int:
    """The processes that did a run together; 1 if that was not recorded."""
    processes = summary.get("processes")
    return processes if isinstance(processes, int) and processes > 1 else 1
