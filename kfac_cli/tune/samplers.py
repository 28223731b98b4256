"""Samplers and pruners.

What is sampled for a trial depends on the sampler's seed, on the trial's number and, for tpe, on
the trials that have ended: not on which process samples it, nor on how often it was interrupted.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from kfac_cli.config.schema import RunConfig
from kfac_cli.errors import UserError
from kfac_cli.tune.dimension import Dimension
from kfac_cli.tune.options import TuneOptions
from kfac_cli.tune.share import TIME_LIMITS

DEFAULT_TRIALS = 40

UNFAIR = (
    *("t1", "t2", "t3", "tau1", "tau2", "fisher", "samples", "inverse", "tikhonov", "pi"),
    *("gamma_rule", "lambda_rule", "rescaling", "momentum", "cg_steps", "sigma_solver", "refresh"),
    *("l2_product", "rate_schedule", "warmup", "final_iterations"),
)
"""Settings of an optimizer with which runs are not to be compared at equal iterations.

They change what an iteration costs, or when a rate changes.
"""

UNFAIR_GROUPS = ("schedule",)
"""Groups of which that is true, and all of their settings."""

UNFAIR_CHOICES = ("optimizer", "preset", "experiment")
"""Groups of which it is true of the choice, but not of all settings."""


class SeededByNumber(BaseSampler):
    """Samples each trial by a sampler of Optuna's with a seed of the trial's own."""

    def __init__(self, kind: str, seed: int) -> None:
        self._kind, self._seed = kind, seed
        self._current: tuple[int, BaseSampler] | None = None

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._sampler(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        sampler = self._sampler(trial)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def _sampler(self, trial: FrozenTrial) -> BaseSampler:
        if self._current is None or self._current[0] != trial.number:
            seed = int(np.random.SeedSequence([self._seed, trial.number]).generate_state(1)[0])
            self._current = trial.number, _seeded(self._kind, seed)
        return self._current[1]


class ByNumber(BaseSampler):
    """Takes the points of a fixed sequence, by the numbers of the trials."""

    def __init__(self, dimensions: Sequence[Dimension]) -> None:
        self._dimensions = dimensions

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {d.name: d.distribution for d in self._dimensions}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.point(trial.number)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self.point(trial.number)[param_name]

    def point(self, number: int) -> dict[str, Any]:
        """The values of the trial with a number, by the names of the settings."""
        raise NotImplementedError


class QuasiRandom(ByNumber):
    """The scrambled Halton sequence."""

    def __init__(self, dimensions: Sequence[Dimension], seed: int) -> None:
        super().__init__(dimensions)
        self._seed = seed

    def point(self, number: int) -> dict[str, Any]:
        from scipy.stats import qmc  # here, because importing it takes a second

        generator = np.random.default_rng(self._seed)
        sequence = qmc.Halton(d=len(self._dimensions), scramble=True, seed=generator)
        sequence.fast_forward(number)
        [positions] = sequence.random(1)
        pairs = zip(self._dimensions, positions, strict=True)
        return {d.name: d.value_at(float(position)) for d, position in pairs}


class Grid(ByNumber):
    """All combinations, the last setting changing first."""

    def point(self, number: int) -> dict[str, Any]:
        values = {}
        for d in reversed(self._dimensions):
            number, index = divmod(number, d.points() or 1)
            values[d.name] = d.point(index)
        return values


def make_sampler(options: TuneOptions, dimensions: Sequence[Dimension]) -> BaseSampler:
    """The sampler that options ask for."""
    if options.sampler == "qmc":
        return QuasiRandom(dimensions, options.sampler_seed)
    if options.sampler == "grid":
        return Grid(dimensions)
    return SeededByNumber(options.sampler, options.sampler_seed)


def default_pruner(
    dimensions: Sequence[Dimension], objective: str, config: RunConfig
) -> Literal["median", "none"]:
    """The pruner of a study that names none: median, unless equal iterations are unfair.

    They are where a searched setting makes iterations cheaper and less effective, or lets the rate
    fall later, and where seconds count, as the objective or as the budget.
    """
    timed = any(getattr(config, name) is not None for name in TIME_LIMITS)
    unfair = any(
        d.name.partition(".")[0] in UNFAIR_GROUPS
        or d.name in UNFAIR_CHOICES
        or d.name.removeprefix("optimizer.") in UNFAIR
        for d in dimensions
    )
    return "none" if unfair or timed or objective == "seconds" else "median"


def make_pruner(options: TuneOptions, config: RunConfig) -> BasePruner:
    """The pruner that options ask for, for runs with the iterations of `config`."""
    if options.pruner == "median":
        return MedianPruner()
    if options.pruner == "hyperband":
        smallest = min(config.evaluate_every, config.iterations)
        return HyperbandPruner(min_resource=smallest, max_resource=config.iterations)
    return NopPruner()


def number_of_trials(options: TuneOptions, dimensions: Sequence[Dimension]) -> int:
    """How many trials the study has in the end; raises UserError for what a grid cannot have."""
    if options.sampler != "grid":
        return DEFAULT_TRIALS if options.trials is None else options.trials
    for d in dimensions:
        if d.points() is None:
            raise UserError(f"{d.word}: has no grid; give choices, or use another sampler=")
    points = math.prod(d.points() or 1 for d in dimensions)
    if options.trials is not None and options.trials > points:
        raise UserError(f"trials={options.trials}: the grid has {points} points")
    return options.trials or points


def _seeded(kind: str, seed: int) -> BaseSampler:
    if kind == "random":
        return RandomSampler(seed)
    return TPESampler(seed=seed, constant_liar=True)  # workers avoid what others are trying
