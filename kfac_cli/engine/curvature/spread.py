"""The parts of new inverses, each made by one of the processes and sent to the others.

As in KAISA (Pauloski et al. 2021), the parts are assigned by cost, longest processing time first.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch

from kfac_cli.engine.curvature.fallbacks import Fallbacks, Kind
from kfac_cli.engine.processes import Processes
from kfac_cli.errors import ProcessLostError

Part = TypeVar("Part")


class Share(Generic[Part]):
    """This process's share of the parts of the inverses for several γ.

    `make(gamma, numbers, fallbacks)` makes the parts with these numbers of the inverse for γ; the
    costs of all its parts are in any unit. What is computed for several parts of one γ is computed
    once in a process. Parts consist of tensors, on `device`, and plain values.
    """

    def __init__(
        self,
        make: Callable[[float, Sequence[int], Fallbacks], Sequence[Part]],
        gammas: Sequence[float],
        costs: Sequence[float],
        processes: Processes,
        device: torch.device,
    ) -> None:
        self._processes, self._device = processes, device
        self._places = [(which, part) for which in range(len(gammas)) for part in range(len(costs))]
        makers = longest_first([costs[part] for _, part in self._places], processes.count)
        own = [p for p, maker in zip(self._places, makers, strict=True) if maker == processes.rank]
        self._notes = _Notes()
        self._parts: dict[tuple[int, int], Part] = {}
        self._error: Exception | None = None
        try:
            for which, gamma in enumerate(gammas):
                numbers = [part for each, part in own if each == which]
                made = make(gamma, numbers, self._notes) if numbers else []
                self._parts |= {(which, n): part for n, part in zip(numbers, made, strict=True)}
        except Exception as error:
            if processes.count == 1:
                raise
            self._error = error  # the others wait for the exchange

    def exchanged(self, fallbacks: Fallbacks) -> list[list[Part]]:
        """All parts of the inverse for each γ; the fallbacks of all processes are recorded.

        Every process must call this at the same point. Raises the error that occurred here, and
        ProcessLostError for that of another process.
        """
        failed = None if self._error is None else f"{type(self._error).__name__}: {self._error}"
        own = self._parts, self._notes.events, failed
        shares = self._processes.exchange(own, self._device)
        if self._error is not None:
            raise self._error
        every: dict[tuple[int, int], Part] = {}
        for rank, (parts, events, failure) in enumerate(shares):
            if failure is not None:
                raise ProcessLostError(f"process {rank}: {failure}")
            every |= parts
            for kind, message, arguments in events:
                fallbacks.record(kind, message, *arguments)
        inverses: dict[int, list[Part]] = {}
        for which, part in self._places:
            inverses.setdefault(which, []).append(every[which, part])
        return list(inverses.values())


def longest_first(costs: Sequence[float], count: int) -> list[int]:
    """Which of `count` processes does each task: longest processing time first (Graham 1969).

    The most expensive task left goes to the process that has the least to do.
    """
    loads = [0.0] * count
    chosen = [0] * len(costs)
    for task in sorted(range(len(costs)), key=lambda task: -costs[task]):
        chosen[task] = loads.index(min(loads))
        loads[chosen[task]] += costs[task]
    return chosen


class _Notes(Fallbacks):
    """Fallbacks as they occur, to be recorded later."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[Kind, str, tuple[object, ...]]] = []

    def record(self, kind: Kind, message: str, *arguments: object) -> None:
        self.events.append((kind, message, arguments))
