"""Making a new inverse: how long its factorisations and its variants take.

    python -m benchmarks.refresh [--small] [--output FILE]

Factorisations of one 1000 × 1000 factor in float64 and float32, beside a product of that size in
float32, and the whole inverse of MNIST for each way to make it. Methods alternate.
"""

import sys
from collections.abc import Callable

import torch

from benchmarks.common.document import markdown_table
from benchmarks.common.part import Part, run
from benchmarks.common.problems import PLAIN, Problem, scale
from benchmarks.common.timing import Spread, alternated, figures, ratios
from kfac_cli.engine import KFAC
from kfac_cli.engine.options.curvature import FIRST_ITERATIONS
from kfac_cli.paper.cost.clock import wait_for
from kfac_cli.paper.cost.methods import fixed

GAMMA = 0.1
VARIANTS = {
    "block-tridiagonal": ("optimizer=kfac_tridiag",),
    "block-tridiagonal, sigma_solver=doubling": (
        "optimizer=kfac_tridiag",
        "optimizer.sigma_solver=doubling",
    ),
    "block-diagonal": ("optimizer=kfac_diag",),
    "block-diagonal, tikhonov=exact": ("optimizer=kfac_diag", "optimizer.tikhonov=exact"),
}
"""How an inverse can be made, as settings of `kfac-run`."""


def section(small: bool) -> str:
    """Both tables on the CPU."""
    sizes = scale(small)
    return tables(sizes.problem, sizes.sizes[0], "cpu", 48 if small else 1000, 2 if small else 5)


def tables(problem: Problem, cases: int, device: str, size: int, rounds: int) -> str:
    """The tables of factorisations and of whole inverses, from statistics of so many cases."""

    def compared(works: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
        for work in works.values():
            work()
        return alternated(works, rounds, lambda: wait_for(device))

    parts = compared(_factorisations(size, device))
    base = next(iter(parts.values()))
    rows = [[name, str(Spread.of(t)), str(ratios(t, base))] for name, t in parts.items()]
    whole = compared(_inverses(problem, cases, device))
    least = min(Spread.of(times).median for times in whole.values())
    inverses = [
        [name, str(Spread.of(t)), figures(Spread.of(t).median / least)] for name, t in whole.items()
    ]
    return "\n\n".join(
        [
            markdown_table([f"one {size} × {size} factor", "s", "products"], rows),
            markdown_table(["a new inverse", "s", "times the fastest"], inverses),
        ]
    )


def _factorisations(size: int, device: str) -> dict[str, Callable[[], object]]:
    generator = torch.Generator().manual_seed(0)
    cases = torch.randn(2 * size, size, generator=generator)
    single = (cases.T @ cases / len(cases)).to(device) + 0.1 * torch.eye(size, device=device)
    works: dict[str, Callable[[], object]] = {"product, float32": lambda: single @ single}
    for name, matrix in (("float64", single.double()), ("float32", single)):
        works |= _of_matrix(name, matrix)
    return works


def _of_matrix(name: str, matrix: torch.Tensor) -> dict[str, Callable[[], object]]:
    return {
        f"Cholesky and inverse, {name}": lambda: torch.cholesky_inverse(
            torch.linalg.cholesky(matrix)
        ),
        f"eigh, {name}": lambda: torch.linalg.eigh(matrix),
    }


def _inverses(problem: Problem, cases: int, device: str) -> dict[str, Callable[[], object]]:
    return {name: _inverse(problem, cases, device, chosen) for name, chosen in VARIANTS.items()}


def _inverse(
    problem: Problem, cases: int, device: str, chosen: tuple[str, ...]
) -> Callable[[], object]:
    """A call that makes an inverse from the statistics after the first iterations."""
    made = problem.session((*PLAIN, *chosen, *fixed(cases)), device)
    for _ in range(FIRST_ITERATIONS):
        made.step()
    optimizer = made.optimizer
    assert isinstance(optimizer, KFAC)
    return lambda: optimizer.curvature.inverses([GAMMA])


PART = Part("refresh", "A new inverse", section)

if __name__ == "__main__":
    sys.exit(run([PART]))
