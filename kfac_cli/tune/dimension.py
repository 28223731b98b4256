"""One searched setting: a word of Hydra's sweep grammar as a distribution of Optuna's."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from kfac_cli.errors import UserError, shown

LOG = "log"


@dataclass(frozen=True)
class Dimension:
    """A searched setting.

    `word` is its argument on the command line, `key` the part before the = and `name` that without
    a plus, by which Optuna knows it. `texts` are its choices as they are typed, for a distribution
    of choices.
    """

    word: str
    key: str
    name: str
    distribution: BaseDistribution
    texts: tuple[str, ...] = ()

    def override(self, value: Any) -> str:
        """The argument of kfac-run that gives the setting a value."""
        return f"{self.key}={self._text(value)}"

    def described(self, value: Any) -> str:
        """The setting and its value for people: four digits of a real number."""
        text = f"{value:.4g}" if isinstance(value, float) else self._text(value)
        return f"{self.name}={text}"

    def extremes(self) -> list[Any]:
        """The values to check before a search: both ends of a range, or every choice."""
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return list(distribution.choices)
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        return [distribution.low, distribution.high]

    def points(self) -> int | None:
        """How many values there are; None for an interval of real numbers."""
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return len(distribution.choices)
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        if distribution.step is None:
            return None
        return round((distribution.high - distribution.low) / distribution.step) + 1

    def point(self, index: int) -> Any:
        """The value with an index, of those that `points` counts."""
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return distribution.choices[index]
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        if isinstance(distribution, IntDistribution):
            return distribution.low + index * distribution.step
        assert distribution.step is not None
        return float(Decimal(str(distribution.low)) + index * Decimal(str(distribution.step)))

    def value_at(self, position: float) -> Any:
        """The value at a position in [0, 1) of the range."""
        distribution, points = self.distribution, self.points()
        if points is not None and not getattr(distribution, LOG, False):
            return self.point(min(int(position * points), points - 1))
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        whole = isinstance(distribution, IntDistribution)
        half = 0.5 if whole else 0.0
        low, high = distribution.low - half, distribution.high + half
        if distribution.log:
            value = math.exp(math.log(low) + position * (math.log(high) - math.log(low)))
        else:
            value = low + position * (high - low)
        value = min(max(value, distribution.low), distribution.high)
        return round(value) if whole else value

    def suggest(self, trial: Trial) -> Any:
        """The value in a trial: the one that it has, or else a new one from the sampler."""
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return trial.suggest_categorical(self.name, distribution.choices)
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        low, high, step, log = (getattr(distribution, n) for n in ("low", "high", "step", LOG))
        suggest = trial.suggest_int if isinstance(low, int) else trial.suggest_float
        return suggest(self.name, low, high, step=step, log=log)

    def _text(self, value: Any) -> str:
        if not isinstance(self.distribution, CategoricalDistribution):
            return repr(value)
        choices = [(type(choice), choice) for choice in self.distribution.choices]
        return self.texts[choices.index((type(value), value))]


def dimension(override: Override) -> Dimension:
    """The dimension that a sweep of Hydra's grammar describes.

    Choices are unordered, `range` excludes its end and `interval` includes it, `int(interval(…))`
    has whole numbers, and `tag(log, …)` makes either logarithmic. Raises UserError for anything
    else.
    """
    word = str(override.input_line)
    name = override.key_or_group
    key = word.partition("=")[0]
    value = override.value()
    if isinstance(value, ChoiceSweep):
        _check_tags(word, value.tags, log=False)
        value.shuffle = False  # the sampler decides on the order
        choices, texts = _choices(word, override, value)
        return Dimension(word, key, name, CategoricalDistribution(choices), texts)
    if isinstance(value, RangeSweep):
        return Dimension(word, key, name, _range(word, value))
    if isinstance(value, IntervalSweep):
        return Dimension(word, key, name, _interval(word, value))
    raise UserError(f"{shown(word)}: glob is not for a search; list the choices: A,B,C")


def _choices(
    word: str, override: Override, sweep: ChoiceSweep
) -> tuple[list[bool | int | float | str | None], tuple[str, ...]]:
    """The choices for Optuna, which takes plain values only, and as they are typed."""
    texts = tuple(
        shown(value) if isinstance(value, bool) else text
        for value, text in zip(sweep.list, override.sweep_string_iterator(), strict=True)
    )
    for text in texts:
        if texts.count(text) > 1:
            raise UserError(f"{shown(word)}: {shown(text)} is given twice")
    plain = [
        value if value is None or isinstance(value, bool | int | float) else text
        for value, text in zip(sweep.list, texts, strict=True)
    ]
    if len(set(plain)) < len(plain) or any(value != value for value in plain):
        return list(texts), texts  # Optuna compares by ==, by which 1 is true
    return plain, texts


def _range(word: str, sweep: RangeSweep) -> IntDistribution | FloatDistribution:
    log = _check_tags(word, sweep.tags)
    parts = [Decimal(str(part)) for part in (sweep.start, sweep.stop, sweep.step)]
    start, stop, step = parts
    if not all(part.is_finite() for part in parts) or step == 0:
        raise UserError(f"{shown(word)}: must be range(START,STOP) or range(START,STOP,STEP)")
    count = math.ceil((stop - start) / step)
    if count <= 0:
        raise UserError(f"{shown(word)}: has no values")
    ends = sorted((start, start + (count - 1) * step))
    whole = all(isinstance(part, int) for part in (sweep.start, sweep.stop, sweep.step))
    if log and not (whole and abs(step) == 1):
        raise UserError(f"{shown(word)}: log is for interval(A,B) and ranges with a step of 1")
    if log:
        _check_positive(word, float(ends[0]))
    if whole:
        return IntDistribution(int(ends[0]), int(ends[1]), log=log, step=int(abs(step)))
    return FloatDistribution(float(ends[0]), float(ends[1]), step=float(abs(step)))


def _interval(word: str, sweep: IntervalSweep) -> IntDistribution | FloatDistribution:
    log = _check_tags(word, sweep.tags)
    low, high = sweep.start, sweep.end
    assert low is not None and high is not None
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise UserError(f"{shown(word)}: must be interval(LOW,HIGH) with LOW not above HIGH")
    if log:
        _check_positive(word, low)
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)


def _check_tags(word: str, tags: set[str], log: bool = True) -> bool:
    """Whether the sweep is logarithmic."""
    unknown = sorted(tags - ({LOG} if log else set()))
    if unknown:
        known = "log is the only tag" if log else "choices take no tag"
        raise UserError(f"{shown(word)}: tag {shown(unknown[0])} is not known; {known}")
    return LOG in tags


def _check_positive(word: str, low: float) -> None:
    if low <= 0:
        raise UserError(f"{shown(word)}: a logarithmic range must be above 0")
