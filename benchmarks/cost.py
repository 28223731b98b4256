"""K-FAC against Nesterov SGD with the same mini-batches, beside the paper's cost formula.

    python -m benchmarks.cost

The formula of section 8 predicts the seconds of an average iteration from its constants, which are
measured within iterations themselves: C₁ and C₂ in those of SGD, C₃ (C₄) in new inverses, C₅ (C₆)
in products with them. Prediction and measurement are for one period of T₃ = 20 iterations, with its
search for γ. What the formula leaves out is a row of its own.
"""

import sys
from typing import NamedTuple

from benchmarks.common.document import markdown_table
from benchmarks.common.part import Part, run
from benchmarks.common.problems import INVERSES, REFRESHES, Scale, fixed, scale
from benchmarks.common.tasks import TASKS, task_times
from benchmarks.common.timing import figures, seconds
from benchmarks.work import Constants, Settings, Sizes, kfac_cost, sgd_cost
from kfac_cli.run.session import Session

RATE = "optimizer.learning_rate=1e-4"
EXPLANATION = (
    "Seconds of an average iteration. C₁ to C₆ are given as speeds, in 10⁹ multiply-adds a second: "
    "of the passes, the gradient, the new inverse and its products. Tasks 1 and 2 are predicted "
    "from SGD's own iterations; 5 and 6 fit by construction. On so few cases as those of τ₁ and τ₂ "
    "products are slower, and sampling, inner products and element-wise functions are not in the "
    "formula."
)


class Measured(NamedTuple):
    """Seconds of an average iteration: the whole, and by task."""

    whole: float
    tasks: dict[int, float]


def section(small: bool) -> str:
    """A table of ratios, and one of tasks for each size and inverse."""
    sizes = scale(small)
    settings = Settings(t2=5, t3=5) if small else Settings()
    summary, details = [], []
    for cases in sizes.sizes:
        runs = {name: _session(sizes, cases, kind, settings) for name, kind in INVERSES.items()}
        sgd = sizes.problem.session(("optimizer=nesterov_sgd", RATE, *fixed(cases)))
        measured = _measure_together({"SGD": sgd, **runs}, settings.t2)
        for name, made in runs.items():
            own = settings._replace(tridiagonal=name == "block-tridiagonal")
            row, tasks = _compare(made, cases, measured["SGD"], measured[name], own)
            summary.append([f"{cases:,}", name, *row])
            details.append(f"{name}, m = {cases:,}:\n\n{tasks}")
    columns = ["m", "inverse", "SGD, s", "K-FAC, s", "K-FAC / SGD", "by the formula"]
    columns += ["C₁", "C₂", "C₃ or C₄", "C₅ or C₆"]
    return "\n\n".join([EXPLANATION, markdown_table(columns, summary), *details])


def _session(sizes: Scale, cases: int, optimizer: str, settings: Settings) -> Session:
    chosen = (f"optimizer.t2={settings.t2}", f"optimizer.t3={settings.t3}", *fixed(cases))
    made = sizes.problem.session(
        (f"optimizer={optimizer}", "optimizer.lambda_initial=150", *chosen)
    )
    for _ in range(REFRESHES):
        made.step()
    return made


def _measure_together(sessions: dict[str, Session], steps: int) -> dict[str, Measured]:
    """Take the steps of all sessions in turn, so that other load affects all of them."""
    whole = dict.fromkeys(sessions, 0.0)
    tasks = {name: dict.fromkeys(TASKS, 0.0) for name in sessions}
    for _ in range(steps):
        for name, made in sessions.items():
            with task_times() as spent:
                whole[name] += seconds(made.step) / steps
            for task, value in spent.seconds.items():
                tasks[name][task] += value / steps
    return {name: Measured(whole[name], tasks[name]) for name in sessions}


def _compare(
    made: Session, cases: int, sgd: Measured, kfac: Measured, settings: Settings
) -> tuple[list[str], str]:
    sizes = Sizes.of(made.network.parameter_shapes, cases)
    inverse = kfac_cost(sizes, cases, Constants(0, 0, 1, 1), settings)
    unit = sizes.squares * cases
    constants = Constants(
        sgd.tasks[1] / (2 * unit),
        sgd.tasks[2] / unit,
        kfac.tasks[5] / inverse[5],
        kfac.tasks[6] / inverse[6],
    )
    predicted = kfac_cost(sizes, cases, constants, settings)
    rows: list[list[object]] = [
        [f"{task}", TASKS[task], figures(predicted[task]), figures(kfac.tasks[task])]
        for task in TASKS
    ]
    rest = kfac.whole - sum(kfac.tasks.values())
    rows.append(["", "the rest", "", figures(rest)])
    rows.append(["", "together", figures(sum(predicted.values())), figures(kfac.whole)])
    formula = sum(predicted.values()) / sgd_cost(sizes, cases, constants)
    cells = [figures(sgd.whole), figures(kfac.whole), figures(kfac.whole / sgd.whole)]
    speeds = [figures(1e-9 / constant) for constant in constants]
    table = markdown_table(["task", "", "predicted, s", "measured, s"], rows)
    return [*cells, figures(formula), *speeds], table


PART = Part("cost", "K-FAC against SGD, and the paper's cost formula", section)

if __name__ == "__main__":
    sys.exit(run([PART]))
