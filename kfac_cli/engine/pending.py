"""Inverses that are computed beside the iterations until they are used (section 8)."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from threading import Lock
from typing import Any

import torch

from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.protocol import Curvature, Inverse
from kfac_cli.engine.curvature.registry import make_curvature
from kfac_cli.engine.options.kfac import KFACOptions
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.processes import ALONE, Processes
from kfac_cli.engine.state_rules import (
    LARGEST_NUMBER,
    Rule,
    count,
    number,
    record,
    refusal,
    up_to,
)

ONE_AT_A_TIME = Lock()
"""Held by work on the stream of a GPU: a computation that was given up may still be running."""

MAX_CANDIDATES = 3
"""Values of γ that a search tries (section 6.6)."""

Finished = Callable[[Fallbacks], list[Inverse]]
"""What gives the inverses, as `Curvature.begun` returns it."""


class PendingInverses:
    """The inverses for the candidates `gammas`, to be used at `iteration`.

    `curvature` is the state of the curvature from which they are computed, by a thread of their
    own, which uses one CPU thread or, on a GPU, streams of its own. When it is done makes no
    difference, so a run is reproducible; resuming from a state starts the computation again.
    """

    def __init__(
        self,
        options: KFACOptions,
        curvature: dict[str, Any],
        gammas: Sequence[float],
        iteration: int,
        processes: Processes = ALONE,
    ) -> None:
        self.iteration = iteration
        self.gammas = list(gammas)
        self._options, self._state, self._processes = options, curvature, processes
        copy = make_curvature(options)
        copy.load_state_dict(curvature)
        self._beside = _BesideTheStream(_device(curvature))
        self.result = _begin(
            lambda: self._beside.run(lambda: copy.begun(self.gammas, processes)),
        )

    def candidates(self, curvature: Curvature) -> list[tuple[float, Inverse]]:
        """Each γ and its inverse, once they are computed; raises the error if that failed.

        `curvature` counts the fallbacks. Several processes exchange here what each has computed.
        """
        finished = self.result.result()
        self._beside.join()
        return list(zip(self.gammas, finished(curvature.fallbacks), strict=True))

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy computes them again."""
        rest = self.gammas, self.iteration, self._processes
        return type(self), (self._options, self._state, *rest)

    def is_at(self, state: dict[str, Any]) -> bool:
        """Whether `state` is the very one from which they are being computed."""
        failed = self.result.done() and self.result.exception() is not None
        return not failed and all(
            (
                state["curvature"] is self._state,
                state["gammas"] == self.gammas,
                state["iteration"] == self.iteration,
            )
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything that computing them again takes."""
        return {"iteration": self.iteration, "gammas": list(self.gammas), "curvature": self._state}

    @staticmethod
    def state_rules(curvature: Curvature, parameters: Parameters) -> Rule:
        """What `state_dict` may return for this curvature and parameters of these shapes."""
        rules = {
            "iteration": count(),
            "gammas": _candidates,
            "curvature": curvature.state_rules(parameters),
        }
        return record(rules, lambda state: {"curvature": _known})


def _begin(work: Callable[[], Finished]) -> "Future[Finished]":
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(1, thread_name_prefix="inverse")
    if threads > 1:
        pool.submit(torch.set_num_threads, 1).result()
        # What a thread sets holds for itself and, as a default, for threads that start later.
        torch.set_num_threads(threads)
    result = pool.submit(work)
    pool.shutdown(wait=False)
    return result


class _BesideTheStream:
    """Work on another stream of a GPU than the current one; without a GPU, nothing special.

    It begins once all that the current stream has been given is done. Such work is done one after
    the other, all on the same stream, so that memory is written to again only once it is read.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._begin = self._end = None
        if device.type == "cuda":
            self._begin = torch.cuda.current_stream(device).record_event()

    def run(self, work: Callable[[], Finished]) -> Finished:
        """Do the work, in whichever thread."""
        if self._begin is None:
            return work()
        stream = _stream(self._device)
        with ONE_AT_A_TIME, torch.cuda.stream(stream):
            stream.wait_event(self._begin)
            result = work()
            self._end = stream.record_event()
        return result

    def join(self) -> None:
        """Let the current stream wait until what `run` has returned is computed."""
        if self._end is not None:
            torch.cuda.current_stream(self._device).wait_event(self._end)


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _device(curvature: dict[str, Any]) -> torch.device:
    """Where a curvature with this state is."""
    factors = curvature.get("factors")
    return factors["activation"][0].device if factors else torch.device("cpu")


def _candidates(value: Any, name: str) -> None:
    up_to(MAX_CANDIDATES, number(0, math.sqrt(LARGEST_NUMBER)))(value, name)
    if not value:
        raise refusal(name, value, f"a list of 1 to {MAX_CANDIDATES}")


def _known(value: Any, name: str) -> None:
    """A curvature after its first update."""
    if value.get("factors", value) is None:
        raise refusal(f"{name}.factors", None, "known")
