"""K-FAC against Nesterov SGD with the same mini-batches, beside the paper's cost formula.

    python -m benchmarks.cost

The measurements of the study `cost` of `kfac-paper`, on MNIST: see kfac_cli/paper/cost. What the
formula leaves out is a row of its own.
"""

import sys

from benchmarks.common.document import markdown_table
from benchmarks.common.part import Part, run
from benchmarks.common.problems import Scale, scale
from benchmarks.common.timing import figures
from kfac_cli.paper.cost.comparison import Comparison, comparisons
from kfac_cli.paper.cost.measure import measure
from kfac_cli.paper.cost.methods import BASELINE, timed
from kfac_cli.paper.cost.tasks import TASKS
from kfac_cli.run.session import Session

SHORT_PERIOD = ("optimizer.t2=5", "optimizer.t3=5")
EXPLANATION = (
    "Seconds of an average iteration. C₁ to C₆ are given as speeds, in 10⁹ multiply-adds a second: "
    "of the passes, the gradient, the new inverse and its products. Tasks 1 and 2 are predicted "
    "from SGD's own iterations, 5 and 6 from K-FAC's first ones. On so few cases as those of τ₁ "
    "and τ₂ products are slower, and sampling, inner products and element-wise functions are not "
    "in the formula, which also counts fewer new inverses than searches for γ need, see "
    "[paper.md](paper.md)."
)


def section(small: bool) -> str:
    """A table of ratios, and one of tasks for each size and inverse."""
    sizes = scale(small)
    more = SHORT_PERIOD if small else ()
    summary, details = [], []
    for cases in sizes.sizes:
        times = measure(lambda kind, m: _session(sizes, kind, m, more), cases)
        for each in comparisons(times):
            summary.append([f"{cases:,}", each.inverse, *_summary(each)])
            details.append(f"{each.inverse}, m = {cases:,}:\n\n{_details(each)}")
    columns = ["m", "inverse", "SGD, s", "K-FAC, s", "K-FAC / SGD", "by the formula"]
    columns += ["C₁", "C₂", "C₃ or C₄", "C₅ or C₆"]
    return "\n\n".join([EXPLANATION, markdown_table(columns, summary), *details])


def _session(sizes: Scale, kind: str, cases: int, more: tuple[str, ...]) -> Session:
    own = () if kind == BASELINE else more
    return sizes.problem.session((*timed(kind, cases), *own))


def _summary(each: Comparison) -> list[str]:
    values = (each.sgd.whole, each.measured.whole, each.overhead, each.predicted_overhead)
    speeds = (1e-9 / constant for constant in each.constants)
    return [figures(value) for value in (*values, *speeds)]


def _details(each: Comparison) -> str:
    predicted, measured = each.predicted, each.measured
    rows: list[list[object]] = [
        [f"{task}", TASKS[task], figures(predicted[task]), figures(measured.tasks[task])]
        for task in TASKS
    ]
    rows.append(["", "the rest", "", figures(measured.rest)])
    rows.append(["", "together", figures(sum(predicted.values())), figures(measured.whole)])
    return markdown_table(["task", "", "predicted, s", "measured, s"], rows)


PART = Part("cost", "K-FAC against SGD, and the paper's cost formula", section)

if __name__ == "__main__":
    sys.exit(run([PART]))
