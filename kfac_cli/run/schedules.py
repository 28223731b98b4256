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
    """Decides how many cases each mini-batch has: at most |S|, whatever the settings.

    Most know all sizes beforehand; one that does not learns from each step what comes next.
    """

    def size(self, iteration: int) -> int:
        """m_k at k = `iteration`; of later ones, what is expected now."""
        raise NotImplementedError

    def wants_noise_scale(self, iteration: int) -> bool:
        """Whether the step of an iteration should measure the gradient's noise scale."""
        return False

    def observe(self, record: StepRecord) -> None:
        """Take in what a step reported."""

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs besides the settings."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""


def make_schedule(config: ScheduleSettings, cases: int) -> Schedule:
    """The schedule that `config` describes, for a training set S of so many cases."""
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

    Rounding down gives the batch sizes of the published reference runs, every one of them.
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
    """Sizes from a table of pairs (iteration, cases), each in force from its iteration on.

    The first pair is for iteration 1; with no other the size is fixed.
    """

    def __init__(self, steps: Sequence[tuple[int, int]], cases: int) -> None:
        self._starts = [start for start, _ in steps]
        self._sizes = [min(size, cases) for _, size in steps]

    def size(self, iteration: int) -> int:
        return self._sizes[bisect_right(self._starts, iteration) - 1]


class Adaptive(Schedule):
    """The sample size test of Byrd et al. (2012), section 3.

    A mini-batch's gradient g errs by V/m, V being the sample variance of the cases' gradients
    summed over the parameters. Where V/m > θ²‖g‖² the next one has V/(θ²‖g‖²) cases, up to
    `maximum`. V/‖g‖² is the step's noise scale. Since g has the error in it too, ‖g‖² is not far
    below V/m, so that a mini-batch grows by about 1/θ² at most.
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
