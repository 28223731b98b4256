"""The seconds of the tasks of section 8 within real iterations, and of what is no task of it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any

import kfac_cli.engine.model.first_order as first_order
import kfac_cli.engine.model.statistics as statistics
from kfac_cli.engine import BlockDiagonalInverse, BlockTridiagonalInverse
from kfac_cli.engine.curvature.factored import FactoredCurvature
from kfac_cli.engine.curvature.protocol import Curvature
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.engine.model.network import Network

TASKS = {
    1: "forward and backward pass",
    2: "gradient",
    3: "backward pass for sampled targets",
    4: "statistics",
    5: "new inverse",
    6: "F⁻¹v",
    7: "J·v",
    8: "ρ",
}
"""The tasks of section 8."""

PLACES: tuple[tuple[int, Any, str], ...] = (
    (1, Network, "forward"),
    (1, Network, "backward"),
    (2, Network, "parameter_gradient"),
    (3, first_order, "sum_of_statistics"),
    (4, statistics, "sum_over_cases"),
    (4, FactoredCurvature, "update"),
    (5, Curvature, "inverses"),
    (6, BlockDiagonalInverse, "multiply"),
    (6, BlockDiagonalInverse, "multiply_gradient"),
    (6, BlockTridiagonalInverse, "multiply"),
    (7, MiniBatch, "fisher_gram"),
    (8, MiniBatch, "objective"),
)
"""The functions of the engine that do each task."""

PARTS = {(3, 4)}
"""A task within another that is counted on its own; any other belongs to the outer one."""


class TaskTimes:
    """Seconds by task, of the thread that makes it; `wait` returns when a device is done."""

    def __init__(self, wait: Callable[[], None] = lambda: None) -> None:
        self._wait = wait
        self.seconds = dict.fromkeys(TASKS, 0.0)
        self._thread = threading.get_ident()
        self._running: list[int] = []

    def timed(self, task: int, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, counting its time for the task."""

        def call(*args: Any, **kwargs: Any) -> Any:
            outer = self._running[-1] if self._running else None
            apart = outer is None or (outer, task) in PARTS
            if threading.get_ident() != self._thread or not apart:
                return function(*args, **kwargs)
            self._running.append(task)
            self._wait()
            started = perf_counter()
            try:
                result = function(*args, **kwargs)
                self._wait()
                return result
            finally:
                spent = perf_counter() - started
                self._running.pop()
                self.seconds[task] += spent
                if outer is not None:
                    self.seconds[outer] -= spent

        return call


@contextmanager
def task_times(wait: Callable[[], None] = lambda: None) -> Iterator[TaskTimes]:
    """Count the seconds of the tasks in everything that is called within."""
    times = TaskTimes(wait)
    with ExitStack() as replaced:
        for task, owner, name in PLACES:
            found = vars(owner)[name]
            static = isinstance(found, staticmethod)
            timed = times.timed(task, found.__func__ if static else found)
            replaced.callback(setattr, owner, name, found)
            setattr(owner, name, staticmethod(timed) if static else timed)
        yield times
