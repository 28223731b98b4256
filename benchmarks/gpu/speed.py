"""Iterations on a GPU: their seconds, host synchronisations, and TF32 against float32."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from benchmarks.common.document import markdown_table
from benchmarks.common.host_reads import host_reads
from benchmarks.common.problems import Problem
from benchmarks.common.timing import Spread, alternated, ratios
from benchmarks.cycle import cycles
from benchmarks.gpu.budget import Scale
from kfac_cli.engine.options.curvature import FIRST_ITERATIONS
from kfac_cli.paper.cost.clock import wait_for
from kfac_cli.paper.cost.methods import INVERSES, fixed
from kfac_cli.run.session import Session

SEARCH, RHO = 20, 5
QUICK = ("optimizer.lambda_initial=150", "optimizer.tikhonov=factored")
"""Without the calibration of λ, which would take most of the time, and an exact start."""


def iterations(problem: Problem, scale: Scale, device: str) -> str:
    """Seconds of iterations for each size and inverse, without calibration."""
    rows = cycles(problem, scale.sizes, device, QUICK, SEARCH + FIRST_ITERATIONS, FIRST_ITERATIONS)
    columns = ["m", "inverse", "plain iteration, s", "search, s", "mean, s", "first 3, s"]
    return markdown_table(columns, rows)


def synchronisations(problem: Problem, scale: Scale, device: str) -> str:
    """How often an iteration makes the host wait, at the largest size."""
    rows = []
    size = scale.sizes[-1]
    for name, optimizer in INVERSES.items():
        made = problem.session((f"optimizer={optimizer}", *QUICK, *fixed(size)), device)
        counts = {}
        for iteration in range(1, SEARCH + 1):
            counts[iteration] = _counted(made, device)
        rows.append([name, *(counts[k] for k in (SEARCH - 1, SEARCH - RHO, SEARCH))])
    columns = ["inverse", "ordinary step", "with ρ", "with ρ and a search for γ"]
    how = "m = {:,}; reads of numbers, and in parentheses what CUDA reports as synchronising"
    return f"{how.format(size)}:\n\n{markdown_table(columns, rows)}"


def _counted(made: Session, device: str) -> str:
    """The reads of one step and, on a GPU, the warnings of its synchronisation check."""
    reported: list[warnings.WarningMessage] = []
    with _reporting(device, reported):
        reads = host_reads(made.step)
    return str(reads) if device == "cpu" else f"{reads} ({len(reported)})"


@contextmanager
def _reporting(device: str, reported: list[warnings.WarningMessage]) -> Iterator[None]:
    """Collect what CUDA says of each synchronisation; nothing on a CPU."""
    if device == "cpu":
        yield
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")
            reported += [each for each in caught if "synchronizing" in str(each.message)]


def tf32(problem: Problem, scale: Scale, device: str) -> str:
    """Iterations with products in TF32 against float32, and the errors that both reach."""
    settings = ("matmul=tf32",) if device != "cpu" else ()
    rows = []
    for size in scale.sizes:
        chosen = ("optimizer=kfac_tridiag", *QUICK, *fixed(size))
        single = problem.session(chosen, device)
        reduced = problem.session((*chosen, *settings), device)
        works: dict[str, Callable[[], object]] = {
            "float32": single.step,
            "tf32": reduced.step,
        }
        times = alternated(works, scale.rounds, lambda: wait_for(device))
        errors = [made.step()[1].error for made in (single, reduced)]
        rows.append(
            [
                f"{size:,}",
                *(str(Spread.of(spent[FIRST_ITERATIONS:])) for spent in times.values()),
                str(ratios(times["tf32"][FIRST_ITERATIONS:], times["float32"][FIRST_ITERATIONS:])),
                *(f"{error:.2f}" for error in errors),
            ]
        )
    columns = ["m", "float32, s", "tf32, s", "tf32 / float32"]
    columns += [f"error after {scale.rounds} iterations, float32", "tf32"]
    return markdown_table(columns, rows)
