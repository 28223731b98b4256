"""The runs of the study `batch-size`.

The paper trains the MNIST autoencoder with several fixed sizes, and its text does not say which. At
full scale that is done from the initial parameters. At the small scale a run of K-FAC on CURVES
comes first, and K-FAC with the different sizes starts from its end: what the paper says about the
size concerns the later stages, where the noise of the gradient counts. The baseline starts from the
initial parameters at both scales: from where K-FAC is it first has to get away, since its learning
rate is too large there.
"""

from dataclasses import dataclass

from kfac_cli.commands.quoting import quoted
from kfac_cli.paper.methods import Method, first_order, kfac, kfac_without_momentum
from kfac_cli.paper.runs import QUIET, RUNS, PlannedRun
from kfac_cli.paper.study import Job, Scale

PROBLEM = {Scale.FULL: "mnist", Scale.SMALL: "curves"}
SIZES = {Scale.FULL: (500, 1000, 2000, 4000), Scale.SMALL: (250, 500, 1000)}

WARM_UP = 160
"""Iterations of K-FAC before the others, at the small scale."""

EVALUATIONS = 20
"""Of a run."""

TRIDIAGONAL, DIAGONAL = "tridiagonal", "diagonal"
NO_MOMENTUM, BASELINE = "tridiagonal-no-momentum", "nesterov"

METHODS: tuple[Method, ...] = (
    kfac(TRIDIAGONAL, "kfac_tridiag"),
    kfac(DIAGONAL, "kfac_diag"),
    kfac_without_momentum(NO_MOMENTUM, "kfac_tridiag"),
    first_order(BASELINE, "nesterov_sgd"),
)
"""Those of figure 9's caption."""

ITERATIONS = {
    Scale.FULL: {TRIDIAGONAL: 500, DIAGONAL: 500, NO_MOMENTUM: 1000, BASELINE: 5000},
    Scale.SMALL: {TRIDIAGONAL: 120, DIAGONAL: 120, NO_MOMENTUM: 120, BASELINE: 2000},
}
"""Of each method, besides those of the warm-up."""


@dataclass(frozen=True)
class Plan:
    """The runs at one scale for the seeds and sizes that were chosen."""

    job: Job
    sizes: tuple[int, ...]
    seeds: tuple[int, ...]

    @property
    def problem(self) -> str:
        """The problem's name in conf/."""
        return PROBLEM[self.job.scale]

    def first_iteration(self, method: str) -> int:
        """The iteration from which the runs of a method start, and their progress counts."""
        return WARM_UP if self.job.scale is Scale.SMALL and method != BASELINE else 0

    def warm_ups(self) -> list[PlannedRun]:
        """The runs that come first, one for each seed; none at full scale."""
        if self.job.scale is Scale.FULL:
            return []
        return [
            PlannedRun(
                f"warm-up/{seed}",
                (
                    *METHODS[0].words(self.problem, self.job.scale),
                    "schedule=exponential",
                    "tensorboard=false",
                    f"seed={seed}",
                    *self.job.settings,
                    f"iterations={WARM_UP}",
                    f"evaluate_every={WARM_UP}",
                ),
            )
            for seed in self.seeds
        ]

    def runs(self) -> dict[tuple[str, int, int], PlannedRun]:
        """A run for each method, size and seed."""
        return {
            (method.name, size, seed): self._run(method, size, seed)
            for method in METHODS
            for size in self.sizes
            for seed in self.seeds
        }

    def _run(self, method: Method, size: int, seed: int) -> PlannedRun:
        iterations = ITERATIONS[self.job.scale][method.name]
        first = self.first_iteration(method.name)
        start = self.job.folder / RUNS / f"warm-up/{seed}"
        return PlannedRun(
            f"{method.name}/{size}/{seed}",
            (
                *method.words(self.problem, self.job.scale),
                *QUIET,
                "schedule=fixed",
                f"schedule.size={size}",
                f"seed={seed}",
                *([f"start_from={quoted(start)}"] if first else []),
                f"iterations={first + iterations}",
                f"evaluate_every={max(1, iterations // EVALUATIONS)}",
                *self.job.settings,
            ),
        )
