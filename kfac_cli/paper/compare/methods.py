"""The methods that are compared, and the settings of `kfac-run` that make each of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from kfac_cli.commands.messages import choices
from kfac_cli.paper.study import Scale

PROBLEMS = ("curves", "mnist", "faces")
"""In the order of figures 10 and 11."""

BASELINE_SIZE = {"curves": 250, "mnist": 500, "faces": 500}
"""Cases of the baseline's mini-batches (section 13), and of all methods with a fixed size."""

FIRST_ORDER_ITERATIONS, NO_MOMENTUM_ITERATIONS, KFAC_ITERATIONS = 20000, 5000, 500
EVALUATIONS = 50
"""Of a run at full scale."""


@dataclass(frozen=True)
class Method:
    """A method: its name, the optimizer in conf/, settings, and how many iterations it gets.

    Where conf/experiment has PROBLEM_OPTIMIZER, with values that were tuned, that is used.
    `small_iterations` is the number at the small scale.
    """

    name: str
    optimizer: str
    iterations: int
    small_iterations: int
    grows: bool
    settings: tuple[str, ...] = ()

    def words(self, problem: str, scale: Scale) -> tuple[str, ...]:
        """Its settings of `kfac-run` on a problem."""
        experiment = f"{problem}_{self.optimizer}"
        if experiment in choices("experiment"):
            chosen = [f"experiment={experiment}"]
            if not any(word.startswith("preset=") for word in self.settings):
                chosen.append("preset=default")  # the paper's experiments have preset=paper
        else:
            chosen = [f"dataset={problem}", f"optimizer={self.optimizer}"]
        if scale is Scale.FULL:
            iterations, every = self.iterations, self.iterations // EVALUATIONS
        else:
            iterations, every = self.small_iterations, self.small_iterations // EVALUATIONS
        schedule = _schedule(problem, self.grows)
        numbers = [f"iterations={iterations}", f"evaluate_every={max(1, every)}"]
        return (*chosen, *self.settings, *schedule, *numbers)


def _schedule(problem: str, grows: bool) -> tuple[str, ...]:
    """The mini-batches of section 13."""
    if grows:
        return ("schedule=exponential",)
    return ("schedule=fixed", f"schedule.size={BASELINE_SIZE[problem]}")


def _kfac(name: str, optimizer: str, *settings: str) -> Method:
    return Method(name, optimizer, KFAC_ITERATIONS, 150, True, settings)


def _without_momentum(name: str, optimizer: str, *settings: str) -> Method:
    return Method(name, optimizer, NO_MOMENTUM_ITERATIONS, 300, False, settings)


def _first_order(name: str, optimizer: str) -> Method:
    return Method(name, optimizer, FIRST_ORDER_ITERATIONS, 2000, False)


TRIDIAGONAL, DIAGONAL = "tridiagonal", "diagonal"
TRIDIAGONAL_NO_MOMENTUM = "tridiagonal-no-momentum"
DIAGONAL_NO_MOMENTUM = "diagonal-no-momentum"
PAPER, BASELINE = "tridiagonal-paper", "nesterov"

METHODS: tuple[Method, ...] = (
    _kfac(TRIDIAGONAL, "kfac_tridiag"),
    _kfac(DIAGONAL, "kfac_diag"),
    _without_momentum(TRIDIAGONAL_NO_MOMENTUM, "kfac_tridiag_no_momentum"),
    _without_momentum(DIAGONAL_NO_MOMENTUM, "kfac_diag", "optimizer.momentum=false"),
    _kfac(PAPER, "kfac_tridiag", "preset=paper"),
    _first_order(BASELINE, "nesterov_sgd"),
    _first_order("adam", "adam"),
    _first_order("adamw", "adamw"),
    _first_order("muon", "muon"),
)


def methods_named(names: Sequence[str]) -> tuple[Method, ...]:
    """The methods of these names."""
    return tuple(method for method in METHODS if method.name in names)


def small(problem: str) -> list[str]:
    """What makes a problem small: fewer cases, of the same network."""
    cases = {"curves": ("5000", "500"), "mnist": ("10000", "1000"), "faces": ("10000", "1000")}
    train, test = cases[problem]
    return [f"dataset.train_cases={train}", f"dataset.test_cases={test}"]
