"""Where some work on a CPU spends its time, by kind of operator."""

from collections.abc import Callable
from time import perf_counter

from benchmarks.common.operators import Call, watch
from benchmarks.common.products import FIRST_FACTOR

FACTORISATIONS = ("linalg", "cholesky", "eigh", "triangular", "svd", "inverse", "potr")
COPYING = ("index", "rand", "uniform", "normal", "bernoulli", "to_copy", "copy", "gather")
PYTHON = "outside operators"
KINDS = ("products", "factorisations", "drawing, copying", "element-wise, sums", PYTHON)


def kind(name: str) -> str:
    """The kind of an operator."""
    if name in FIRST_FACTOR:
        return KINDS[0]
    if any(part in name for part in FACTORISATIONS):
        return KINDS[1]
    if any(part in name for part in COPYING):
        return KINDS[2]
    return KINDS[3]


def operator_shares(work: Callable[[], object]) -> dict[str, float]:
    """The fraction of a call's time for each kind of operator, and outside of any."""
    spent = dict.fromkeys(KINDS, 0.0)

    def add(call: Call) -> None:
        spent[kind(call.name)] += call.seconds

    started = perf_counter()
    watch(work, add)
    whole = perf_counter() - started
    spent[PYTHON] = whole - sum(spent.values())
    return {name: seconds / whole for name, seconds in spent.items()}
