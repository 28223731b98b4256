"""Peak memory of large mini-batches against small ones, the data aside.

    python -m benchmarks.memory

Each size is trained for a few iterations in a process of its own. Counted is the highest resident
memory during the iterations, less that of the process before the first one, when the data and the
initial parameters are loaded, and less the mini-batches' own cases where the run copies them: so
what remains are activations, statistics, inverses and vectors. The libraries' own memory, the same
for both, is not counted, as it would hide a difference; the whole peak stands beside it.
"""

import json
import statistics
import subprocess
import sys
from dataclasses import asdict
from typing import Any, NamedTuple

from torch import Tensor

from benchmarks.common.document import markdown_table
from benchmarks.common.part import Part, run, say
from benchmarks.common.problems import MNIST, SMALL, Problem
from benchmarks.common.timing import figures
from kfac_cli.engine import StepRecord
from kfac_cli.errors import UserError
from kfac_cli.paper.cost.methods import INVERSES, fixed
from kfac_cli.recording.environment import peak_memory, reset_peak_memory

ITERATIONS = 3
STEPS = ("optimizer.lambda_initial=150", "optimizer.tikhonov=factored", "optimizer.t1=1")
REPEATS = 2
AIM = 1.05
FLOOR = "optimizer.activation_memory=0"
"""The setting with which the fewest activations are kept for J·v."""


class Use(NamedTuple):
    """Bytes of a run: its peak, what it held before, and the cases of a mini-batch."""

    peak: int
    before: int
    cases: int

    @property
    def work(self) -> int:
        """What the iterations added, the mini-batch's cases aside."""
        return self.peak - self.before - self.cases


def section(small: bool) -> str:
    """The table, a row for each inverse."""
    problem, sizes, repeats = (SMALL, (40, 400), 1) if small else (MNIST, (5000, 60_000), REPEATS)
    rows = []
    for name, optimizer in INVERSES.items():
        uses = {size: _median(problem, optimizer, size, repeats) for size in sizes}
        few, many = (uses[size] for size in sizes)
        rows.append([name, *(_megabytes(u.work) for u in (few, many)), _ratio(few, many)])
        rows[-1] += [_megabytes(u.peak) for u in (few, many)]
        rows[-1] += [_megabytes(many.before), _megabytes(many.cases)]
    labels = [f"m = {size:,}" for size in sizes]
    columns = ["inverse", *(f"{label}, MB" for label in labels), "ratio"]
    columns += [f"whole peak, {label}, MB" for label in labels]
    columns += ["before the first iteration, MB", f"cases of a mini-batch, {labels[1]}, MB"]
    chosen = f"With {FLOOR}. "
    return f"{markdown_table(columns, rows)}\n\n{chosen}The aim is a ratio of at most {AIM}."


def _ratio(few: Use, many: Use) -> str:
    return figures(many.work / few.work) if few.work > 0 else "–"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f}"


def _median(problem: Problem, optimizer: str, size: int, repeats: int) -> Use:
    """The run with the median peak."""
    uses = []
    for _ in range(repeats):
        settings = [f"optimizer={optimizer}", *fixed(size), FLOOR]
        call = [sys.executable, "-m", "benchmarks.memory", "--measure"]
        call.append(json.dumps([asdict(problem), settings]))
        done = subprocess.run(call, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise UserError(f"{optimizer}, m = {size}: its process ended with {done.returncode}")
        uses.append(Use(*json.loads(done.stdout)))
        say(f"  {optimizer}, m = {size}: {uses[-1].work / 1e6:.0f} MB")
    middle = statistics.median_low([use.work for use in uses])
    return next(use for use in uses if use.work == middle)


def measure(problem: Problem, settings: list[str]) -> Use:
    """Train in this process, which has done nothing else, and count."""
    made = problem.session([*settings, *STEPS])
    take = made.optimizer.step
    copied: list[int] = []

    def step(inputs: Any, *others: Any, **named: Any) -> StepRecord:
        copied.append(_copied(inputs, made.dataset.train_inputs))
        return take(inputs, *others, **named)

    made.optimizer.step = step  # type: ignore[method-assign]
    before = _resident()
    for _ in range(ITERATIONS):
        made.step()
    return Use(peak_memory(), before, copied[0])


def _copied(inputs: Any, train: Tensor) -> int:
    """The bytes of a mini-batch's cases, 0 where they are those of the training set itself."""
    if not isinstance(inputs, Tensor):
        return 0
    memory, whole = inputs.untyped_storage(), train.untyped_storage()
    return 0 if memory.data_ptr() == whole.data_ptr() else memory.nbytes()


def _resident() -> int:
    """The resident memory now: the peak, begun anew."""
    reset_peak_memory()
    return peak_memory()


PART = Part("memory", "Memory of large mini-batches", section)

if __name__ == "__main__":
    if "--measure" in sys.argv:
        described, settings = json.loads(sys.argv[-1])
        problem = Problem(tuple(described["settings"]), described["random_cases"])
        print(json.dumps(measure(problem, settings)))
    else:
        sys.exit(run([PART]))
