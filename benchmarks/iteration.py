"""An iteration of K-FAC against the same matrix products alone.

    python -m benchmarks.iteration

A plain iteration (no new inverse, no ρ) alternates with the products that it makes, repeated by the
same operators on matrices of the same layout: forward and backward pass, gradient, statistics, J·v
and F⁻¹v. What is above 1 is spent on element-wise functions, reductions, drawing the mini-batch and
Python. How many multiply-adds the algorithm needs is counted from the layers' sizes, so that a
product that is made in vain shows too.
"""

import sys

from benchmarks.common.document import markdown_table
from benchmarks.common.op_times import operator_shares
from benchmarks.common.part import Part, run
from benchmarks.common.problems import PLAIN, Problem, Scale, scale
from benchmarks.common.products import Bare, recorded, total_multiply_adds
from benchmarks.common.timing import Spread, alternated, figures, ratios
from benchmarks.work import unavoidable_multiply_adds
from kfac_cli.engine.direction import subsample_size
from kfac_cli.engine.options.curvature import FIRST_ITERATIONS
from kfac_cli.paper.cost.methods import INVERSES, fixed
from kfac_cli.run.session import Session

AIMS = {1000: 1.4, 5000: 1.15}


def section(small: bool) -> str:
    """The table, a row for each size and inverse."""
    sizes = scale(small)
    rows, shares = [], []
    for cases in sizes.sizes:
        for name, optimizer in INVERSES.items():
            row, share = _measure(sizes, cases, optimizer)
            rows.append([f"{cases:,}", name, *row])
            shares.append([f"{cases:,}", name, *share.values()])
    columns = ["m", "inverse", "iteration, s", "products, s", "ratio", "aim", "10⁹ multiply-adds"]
    columns += ["needed"]
    where = ["m", "inverse", *share]
    return (
        f"{markdown_table(columns, rows)}\n\n"
        "Where an iteration's time goes, in per cent; timing every operator makes it longer:\n\n"
        f"{markdown_table(where, shares)}"
    )


def prepared(problem: Problem, cases: int, optimizer: str) -> Session:
    """A session whose next iterations are plain ones."""
    made = problem.session((f"optimizer={optimizer}", *PLAIN, *fixed(cases)))
    for _ in range(FIRST_ITERATIONS + 1):
        made.step()
    return made


def needed(made: Session, cases: int, optimizer: str) -> int:
    """The multiply-adds that the algorithm needs for a plain iteration."""
    options = made.optimizer.options  # type: ignore[attr-defined]
    first, last = (subsample_size(tau, cases) for tau in (options.tau1, options.tau2))
    parts = unavoidable_multiply_adds(
        made.network.parameter_shapes, cases, first, last, tridiagonal=optimizer == "kfac_tridiag"
    )
    return sum(parts.values())


def _measure(sizes: Scale, cases: int, optimizer: str) -> tuple[list[str], dict[str, str]]:
    made = prepared(sizes.problem, cases, optimizer)
    products = recorded(made.step)
    bare = Bare(products)
    bare()
    times = alternated({"iteration": made.step, "products": bare}, sizes.rounds)
    cells = [
        str(Spread.of(times["iteration"])),
        str(Spread.of(times["products"])),
        str(ratios(times["iteration"], times["products"])),
        figures(AIMS[cases]) if cases in AIMS else "",
        figures(total_multiply_adds(products) / 1e9),
        figures(needed(made, cases, optimizer) / 1e9),
    ]
    return cells, {name: f"{100 * share:.0f}" for name, share in operator_shares(made.step).items()}


PART = Part(
    "iteration",
    "An iteration against its matrix products",
    section,
)

if __name__ == "__main__":
    sys.exit(run([PART]))
