"""Everything that `make bench-gpu` does on a GPU, in less than eight minutes.

    python -m benchmarks.gpu [--small] [--output FILE]

Runs the tests marked `gpu`, then measures; what no time is left for is said. No network is needed:
without the files of MNIST, iterations are timed on random cases. `--small` takes tiny sizes on the
CPU, to test the command itself.
"""

import subprocess
import sys
import traceback
from collections.abc import Callable

import torch

from benchmarks.common.part import Part, run, say
from benchmarks.common.problems import MNIST, SMALL, Problem
from benchmarks.gpu import speed, targets
from benchmarks.gpu.budget import Budget, Scale
from benchmarks.refresh import tables
from kfac_cli.errors import UserError

NO_GPU = "make bench-gpu: no CUDA device was found; nothing was measured"


def section(small: bool) -> str:
    """All parts, each under its heading, as far as the time allows."""
    scale = Scale.of(small)
    budget = Budget(scale.whole)
    problem, reason = (SMALL if small else MNIST).or_random(60_000)
    texts = [] if reason is None else [f"With {reason}"]
    for title, measure in _parts(problem, scale, budget, reason is None, small):
        say(f"  {title}: {budget.left:.0f} s are left")
        text = f"### {title}\n\n{_measured(measure, budget)}"
        say(text)  # for whoever stops it before the end
        texts.append(text)
    return "\n\n".join(texts)


def _measured(measure: Callable[[], str], budget: Budget) -> str:
    if budget.left <= 0:
        return "No time was left."
    try:
        return measure()
    except (UserError, RuntimeError) as error:  # the latter are CUDA's; the other parts remain
        if not isinstance(error, UserError):
            traceback.print_exc()
        return f"Not measured: {' '.join(str(error).split())[:200]}"


def _parts(
    problem: Problem, scale: Scale, budget: Budget, real: bool, small: bool
) -> list[tuple[str, Callable[[], str]]]:
    """The headings and what measures each; without real data nothing that is about errors."""
    device, size = ("cpu", 48) if small else ("cuda", 1000)
    whole = targets.SMALL if small else targets.EXPERIMENT

    def one_run() -> float:
        return budget.limit(scale.one_run)

    parts: list[tuple[str, Callable[[], str]]] = [
        ("Iterations", lambda: speed.iterations(problem, scale, device)),
        ("Host synchronisations", lambda: speed.synchronisations(problem, scale, device)),
    ]
    if real:
        parts += [
            ("Seconds to errors", lambda: targets.errors(problem, one_run(), device)),
            ("The paper's experiment", lambda: targets.experiment(whole, 2 * one_run(), device)),
        ]
    parts += [
        ("TF32", lambda: speed.tf32(problem, scale, device)),
        ("A new inverse", lambda: tables(problem, scale.sizes[0], device, size, 3)),
    ]
    return parts if small else [("Tests", gpu_tests), *parts]


def gpu_tests() -> str:
    """The last line of the tests marked `gpu`, and what failed."""
    call = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests"]
    try:
        done = subprocess.run(call, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return "The tests took more than two minutes and were stopped."
    lines = (done.stdout or done.stderr).strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    print(done.stdout[-4000:] if failed else "", end="", file=sys.stderr)
    return "\n".join([*failed, lines[-1] if lines else "no output"])


def main() -> int:
    """Measure and write the section, or say in a line that there is no GPU."""
    small = "--small" in sys.argv
    if not small and not torch.cuda.is_available():
        print(NO_GPU)
        return 0
    device = "cpu" if small else "cuda"
    return run([Part("gpu", "On a GPU", section, command="bench-gpu", device=device)])


if __name__ == "__main__":
    sys.exit(main())
