"""Seconds of a plain iteration, of one with a search for γ, of an average one, and of the start.

    python -m benchmarks.cycle

Four runs with their default options, block-tridiagonal and block-diagonal with two sizes of
mini-batches, do their first 46 iterations in turn, so that other load affects all of them. The
first six calibrate λ; a search comes at iterations 20 and 40, and every fifth iteration measures
ρ.
"""

import sys
from typing import NamedTuple

from benchmarks.common.document import markdown_table
from benchmarks.common.part import Part, run, say
from benchmarks.common.problems import Problem, scale
from benchmarks.common.timing import Spread, figures
from kfac_cli.engine import KFACOptions
from kfac_cli.paper.cost.clock import seconds, wait_for
from kfac_cli.paper.cost.methods import INVERSES, fixed

SEARCH_EVERY = 20
FIRST = KFACOptions().first_iterations
ITERATIONS = 2 * SEARCH_EVERY + FIRST


class Cycle(NamedTuple):
    """Seconds of a run's first iterations."""

    plain: Spread
    search: Spread
    mean: float
    first: float

    @classmethod
    def of(cls, times: list[float], first: int = FIRST) -> "Cycle":
        """From the seconds of iterations 1, 2, …, of which the `first` ones are the start."""
        later = dict(enumerate(times[first:], start=first + 1))
        plain = [spent for k, spent in later.items() if k % SEARCH_EVERY != 0]
        search = [spent for k, spent in later.items() if k % SEARCH_EVERY == 0]
        mean = sum(later.values()) / len(later)
        return cls(Spread.of(plain), Spread.of(search), mean, sum(times[:first]))

    def cells(self) -> list[str]:
        """Cells of a table: the seconds, with the search and the start in plain iterations too."""
        plain = self.plain.median
        search, first = (figures(value / plain) for value in (self.search.median, self.first))
        return [
            str(self.plain),
            f"{figures(self.search.median)} ({search} ×)",
            figures(self.mean),
            f"{figures(self.first)} ({first} ×)",
        ]


COLUMNS = ["m", "inverse", "plain iteration, s", "search, s"]
COLUMNS += [f"mean of iterations {FIRST + 1} to {ITERATIONS}, s"]
COLUMNS += [f"first {FIRST}, s"]


def cycles(
    problem: Problem,
    sizes: tuple[int, ...],
    device: str = "cpu",
    settings: tuple[str, ...] = (),
    iterations: int = ITERATIONS,
    first: int = FIRST,
) -> list[list[str]]:
    """The rows of the table, for each size and inverse, from so many first iterations."""
    cases = [(size, name, kind) for size in sizes for name, kind in INVERSES.items()]
    runs = [
        problem.session((f"optimizer={kind}", *fixed(size), *settings), device)
        for size, _, kind in cases
    ]
    times: list[list[float]] = [[] for _ in runs]
    for iteration in range(1, iterations + 1):
        for made, spent in zip(runs, times, strict=True):
            spent.append(seconds(made.step, lambda: wait_for(device)))
        if iteration % 10 == 3:
            say(f"  iteration {iteration} of {iterations}")
    return [
        [f"{size:,}", name, *Cycle.of(spent, first).cells()]
        for (size, name, _), spent in zip(cases, times, strict=True)
    ]


def section(small: bool) -> str:
    """The table, a row for each size and inverse."""
    sizes = scale(small)
    rows = cycles(sizes.problem, sizes.sizes)
    note = "× counts plain iterations of the same row."
    return f"{markdown_table(COLUMNS, rows)}\n\n{note}"


PART = Part("cycle", "Iterations", section)

if __name__ == "__main__":
    sys.exit(run([PART]))
