"""Times that can be compared: alternated repetitions, medians with their spread, ratios."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kfac_cli.paper.cost.clock import seconds


@dataclass(frozen=True)
class Spread:
    """The median of some values, with the quartiles around it; `count` values."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarise one value or more. Raises ValueError for none."""
        if not values:
            raise ValueError("no values to summarise")
        if len(values) == 1:
            return cls(values[0], values[0], values[0], 1)
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(middle, low, high, len(values))

    def __str__(self) -> str:
        if self.count == 1:
            return figures(self.median)
        return f"{figures(self.median)} ({figures(self.low)}–{figures(self.high)})"


def figures(value: float) -> str:
    """A number with three significant figures."""
    if value == 0 or not 1e-4 <= abs(value) < 1e9:
        return f"{value:.3g}"
    return f"{value:#.3g}".rstrip(".") if abs(value) < 999.5 else f"{value:,.0f}"


def alternated(
    works: Mapping[str, Callable[[], object]],
    rounds: int,
    wait: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds of each work in each round; the order within a round is reversed every time.

    So a machine that slows down, or another load, affects all of them alike.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds):
        names = list(works)[:: 1 if turn % 2 == 0 else -1]
        for name in names:
            times[name].append(seconds(works[name], wait))
    return times


def ratios(over: Sequence[float], under: Sequence[float]) -> Spread:
    """The ratios of the values that were measured in the same round."""
    return Spread.of([a / b for a, b in zip(over, under, strict=True)])
