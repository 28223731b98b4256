"""The runs of the study `batch-size`.

The paper trains the MNIST autoencoder with several fixed sizes, and its text does not say which. At
full scale that is done from the initial parameters. At the small scale a run of K-FAC on CURVES
with the same inverse comes first, and K-FAC with the different sizes starts from its end, λ and γ
included: what the paper says about the size concerns the later stages, where the noise of the
gradient counts. The baseline starts from the initial parameters at both scales: where K-FAC is, its
learning rate is too large.
"""

from dataclasses import dataclass, replace

from kfac_cli.commands.quoting import quoted
from kfac_cli.data.folder import resolve_data_dir
from kfac_cli.data.registry import load_dataset
from kfac_cli.paper.checked_settings import checked
from kfac_cli.paper.methods import (
    AVERAGED,
    PAPERS_T3,
    Method,
    first_order,
    kfac,
    kfac_without_momentum,
)
from kfac_cli.paper.runs import QUIET, PlannedRun
from kfac_cli.paper.study import RUNS, Job, Scale

PROBLEM = {Scale.FULL: "mnist", Scale.SMALL: "curves"}
SIZES = {Scale.FULL: (500, 1000, 2000, 4000), Scale.SMALL: (250, 500, 1000)}

TRIDIAGONAL, DIAGONAL = "tridiagonal", "diagonal"
NO_MOMENTUM, BASELINE = "tridiagonal-no-momentum", "nesterov"

WARM_UP = 80
"""Iterations of K-FAC before the others, at the small scale."""

WARMED_UP_BY = {TRIDIAGONAL: TRIDIAGONAL, DIAGONAL: DIAGONAL, NO_MOMENTUM: TRIDIAGONAL}
"""The method whose warm-up a method starts from."""

EVALUATIONS = 20
"""Of a run."""

METHODS: tuple[Method, ...] = (
    kfac(TRIDIAGONAL, "kfac_tridiag"),
    kfac(DIAGONAL, "kfac_diag", PAPERS_T3),
    kfac_without_momentum(NO_MOMENTUM, "kfac_tridiag"),
    first_order(BASELINE, "nesterov_sgd"),
)
"""Those of figure 9's caption."""

ITERATIONS = {
    Scale.FULL: {TRIDIAGONAL: 500, DIAGONAL: 500, NO_MOMENTUM: 1000, BASELINE: 5000},
    Scale.SMALL: {TRIDIAGONAL: 120, DIAGONAL: 120, NO_MOMENTUM: 120, BASELINE: 2000},
}
"""Of each method, besides those of the warm-up."""


def training_cases(job: Job) -> int:
    """The number of training cases of the job's problem, whose data are loaded."""
    config = checked((*METHODS[0].words(PROBLEM[job.scale], job.scale), *job.settings))
    dataset = load_dataset(config.dataset, resolve_data_dir(config.data_dir), config.dtype)
    return len(dataset.train_inputs)


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
        return WARM_UP if self.job.scale is Scale.SMALL and method in WARMED_UP_BY else 0

    def warm_ups(self) -> list[PlannedRun]:
        """The runs that come first, for each inverse and seed; none at full scale."""
        if self.job.scale is Scale.FULL:
            return []
        first = set(WARMED_UP_BY.values())
        return [
            PlannedRun(
                f"warm-up/{method.name}/{seed}",
                (
                    *method.words(self.problem, self.job.scale),
                    "schedule=exponential",
                    "tensorboard=false",
                    f"seed={seed}",
                    AVERAGED,
                    *self.job.settings,
                    f"iterations={WARM_UP}",
                    f"evaluate_every={WARM_UP}",
                ),
            )
            for method in METHODS
            if method.name in first
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
        method = replace(method, full=iterations, small=iterations)
        first = self.first_iteration(method.name)
        warm_up = f"warm-up/{WARMED_UP_BY.get(method.name)}/{seed}"
        start = quoted(self.job.folder / RUNS / warm_up)
        return PlannedRun(
            f"{method.name}/{size}/{seed}",
            (
                *method.words(self.problem, self.job.scale),
                *QUIET,
                "schedule=fixed",
                f"schedule.size={size}",
                f"seed={seed}",
                AVERAGED,
                *([f"start_from={start}"] if first else []),
                f"iterations={first + iterations}",
                f"evaluate_every={max(1, iterations // EVALUATIONS)}",
                *self.job.settings,
            ),
        )
