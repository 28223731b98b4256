"""The schedules of the mini-batches' sizes: m_k at iteration k = 1, 2, … (section 13).

To add one, add its options here, with `make`, and their class to SCHEDULES. Nothing here needs
torch.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from kfac_cli.engine.declaration import OptionError, options
from kfac_cli.engine.option_types import (
    About,
    Allowed,
    Count,
    CountFromZero,
    Fraction,
    Integer,
    Items,
)
from kfac_cli.engine.record import StepRecord
from kfac_cli.engine.state_rules import Rule, count, record

AtLeastTwo = Annotated[int, Integer(2, 10**9)]


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

    def state_rules(self) -> Rule:
        """What `state_dict` may return, whatever the options."""
        return record({})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""


@options
class ScheduleOptions:
    """Options of every schedule."""

    kind: str

    def make(self, cases: int) -> Schedule:
        """The schedule that the options describe, for a training set S of size `cases`."""
        raise NotImplementedError


@options
class ExponentialOptions(ScheduleOptions):
    """Mini-batches that grow exponentially up to the whole training set."""

    kind: Literal["exponential"]
    initial: Annotated[Count, About("cases of the first mini-batch", "m_1", "13")]
    full_at: Annotated[
        AtLeastTwo,
        About("iteration from which a mini-batch is the whole training set", "", "13"),
    ]

    def make(self, cases: int) -> Schedule:
        return Exponential(self.initial, self.full_at, cases)


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


@options
class FixedOptions(ScheduleOptions):
    """Mini-batches of one size."""

    kind: Literal["fixed"]
    size: Annotated[Count, About("cases of a mini-batch, at most the whole training set", "m")]

    def make(self, cases: int) -> Schedule:
        return Stepwise([(1, self.size)], cases)


@options
class StepwiseOptions(ScheduleOptions):
    """Mini-batches of the sizes in a table."""

    kind: Literal["stepwise"]
    steps: Annotated[
        tuple[Annotated[tuple[CountFromZero, Count], Allowed("a pair [iteration,value]")], ...],
        Items(1, 1000, "pairs [iteration,value]"),
        About("pairs [iteration, cases], each in force from its iteration on, the first from 1 on"),
    ]

    def __post_init__(self) -> None:
        if self.steps[0][0] != 1:
            reason = "must be 1: the table begins with the run"
            raise OptionError("steps[0][0]", self.steps[0][0], reason)
        for index in range(1, len(self.steps)):
            before, iteration = self.steps[index - 1][0], self.steps[index][0]
            if iteration <= before:
                reason = f"must be later than {before}, the one before"
                raise OptionError(f"steps[{index}][0]", iteration, reason)

    def make(self, cases: int) -> Schedule:
        return Stepwise(self.steps, cases)


class Stepwise(Schedule):
    """Sizes from a table of pairs (iteration, size), each valid from its iteration on.

    The first pair is for iteration 1; a single pair makes the size fixed.
    """

    def __init__(self, steps: Sequence[tuple[int, int]], cases: int) -> None:
        self._starts = [start for start, _ in steps]
        self._sizes = [min(size, cases) for _, size in steps]

    def size(self, iteration: int) -> int:
        return self._sizes[bisect_right(self._starts, iteration) - 1]


@options
class AdaptiveOptions(ScheduleOptions):
    """Mini-batches that grow when the gradient's noise is too large beside the gradient."""

    kind: Literal["adaptive"]
    initial: Annotated[AtLeastTwo, About("cases of the first mini-batch", "m_1")]
    maximum: Annotated[
        AtLeastTwo | None, About("largest number of cases; null for the whole training set")
    ]
    theta: Annotated[
        Fraction,
        About("error of the gradient, relative to it, up to which a mini-batch stays", "θ"),
    ]

    def __post_init__(self) -> None:
        if self.maximum is not None and self.maximum < self.initial:
            reason = f"must be null or at least {{initial}}, which is {self.initial}"
            raise OptionError("maximum", self.maximum, reason)

    def make(self, cases: int) -> Schedule:
        maximum = cases if self.maximum is None else min(self.maximum, cases)
        return Adaptive(self.initial, maximum, self.theta)


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

    def state_rules(self) -> Rule:
        return record({"size": count(1)})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._size = min(state["size"], self._maximum)


SCHEDULES: tuple[type[ScheduleOptions], ...] = (
    ExponentialOptions,
    FixedOptions,
    StepwiseOptions,
    AdaptiveOptions,
)
"""All schedules, each chosen by its `kind`."""
