"""Where some work spends its time, by kind of operator."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.common.products import FIRST_FACTOR, operator_name

FACTORISATIONS = ("linalg", "cholesky", "eigh", "triangular", "svd", "inverse", "potr")
DRAWING = ("index", "rand", "uniform", "normal", "bernoulli", "to_copy", "copy", "gather")
PYTHON = "outside operators"
KINDS = ("products", "factorisations", "drawing, copying", "element-wise, sums", PYTHON)


class _OperatorTimes(TorchDispatchMode):
    """Adds up the seconds of the operators of this thread, on a CPU, by kind."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = dict.fromkeys(KINDS, 0.0)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        started = perf_counter()
        result = func(*args, **(kwargs or {}))
        self.seconds[kind(operator_name(func))] += perf_counter() - started
        return result


def kind(name: str) -> str:
    """The kind of an operator."""
    if name in FIRST_FACTOR:
        return KINDS[0]
    if any(part in name for part in FACTORISATIONS):
        return KINDS[1]
    if any(part in name for part in DRAWING):
        return KINDS[2]
    return KINDS[3]


def operator_shares(work: Callable[[], object]) -> dict[str, float]:
    """The fraction of a call's time for each kind of operator, and outside of any."""
    started = perf_counter()
    with _OperatorTimes() as times:
        work()
    whole = perf_counter() - started
    times.seconds[PYTHON] = whole - sum(times.seconds.values())
    return {name: seconds / whole for name, seconds in times.seconds.items()}
