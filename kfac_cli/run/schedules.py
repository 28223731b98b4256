"""Mini-batch size schedules: m_k at iteration k = 1, 2, … (section 13)."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from kfac_cli.config.schema import (
    AdaptiveSettings,
    ExponentialSettings,
    FixedSettings,
    ScheduleSettings,
    StepwiseSettings,
)
from kfac_cli.engine import StepRecord


class Schedule:
    """Decides how many cases each mini-batch has, at most |S|.

    Most know all sizes beforehand; an adaptive one observes each step.
    """

    def size(self, iteration: int) -> int:
        """m_k at k = `iteration`; for later iterations, the current prediction."""
        raise NotImplementedError

    def wants_noise_scale(self, iteration: int) -> bool:
        """Whether the step of an iteration should measure the gradient's noise scale."""
        return False

    def observe(self, record: StepRecord) -> None:
        """Adapt to what a step reported."""

    def state_dict(self) -> dict[str, Any]:
        """The state that the settings do not determine, for `load_state_dict`."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""


def make_schedule(config: ScheduleSettings, cases: int) -> Schedule:
    """The schedule that `config` describes, for a training set S of size `cases`."""
    match config:
        case ExponentialSettings():
            return Exponential(config.initial, config.full_at, cases)
        case FixedSettings():
            return Stepwise([(1, config.size)], cases)
        case StepwiseSettings():
            return Stepwise(config.steps, cases)
        case AdaptiveSettings():
            maximum = cases if config.maximum is None else min(config.maximum, cases)
            return Adaptive(config.initial, maximum, config.theta)


class Exponential(Schedule):
    """m_k = min(⌊m_1 exp((k-1)/b)⌋, |S|) with b such that m_{full_at} = |S|.

    Rounding down reproduces all batch sizes of the published reference runs.
    """

    def __init__(self, initial: int, full_at: int, cases: int) -> None:
        self._initial = initial
        self._full_at = full_at
        self._cases = cases
        self._growth = math.log(max(cases / initial, 1)) / (full_at - 1)

    def size(self, iteration: int) -> int:
        if iteration >= self._full_at:
            return self._cases
        grown = math.floor(self._initial * math.exp(self._growth * (iteration - 1)))
        return min(grown, self._cases)


class Stepwise(Schedule):
    """Sizes from a table of pairs (iteration, size), each valid from its iteration on.

    The first pair is for iteration 1; a single pair makes the size fixed.
    """

    def __init__(self, steps: Sequence[tuple[int, int]], cases: int) -> None:
        self._starts = [start for start, _ in steps]
        self._sizes = [min(size, cases) for _, size in steps]

    def size(self, iteration: int) -> int:
        return self._sizes[bisect_right(self._starts, iteration) - 1]


class Adaptive(Schedule):
    """The sample size test of Byrd et al. (2012), section 3.

    A mini-batch's gradient g has variance V/m, where V is the sample variance of the cases'
    gradients, summed over the parameters. If V/m > θ²‖g‖², the next one has V/(θ²‖g‖²) cases, up to
    `maximum`. V/‖g‖² is the step's noise scale. Since g contains this noise, ‖g‖² is not far below
    V/m, and a mini-batch grows at most by about 1/θ².
    """

    def __init__(self, initial: int, maximum: int, theta: float) -> None:
        self._size = min(initial, maximum)
        self._maximum = maximum
        self._theta = theta

    def size(self, iteration: int) -> int:
        return self._size

    def wants_noise_scale(self, iteration: int) -> bool:
        return self._size < self._maximum

    def observe(self, record: StepRecord) -> None:
        if record.noise_scale is None:
            return
        needed = record.noise_scale / self._theta**2
        if needed > self._size:
            self._size = math.ceil(min(needed, self._maximum))

    def state_dict(self) -> dict[str, Any]:
        return {"size": self._size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._size = state["size"]
