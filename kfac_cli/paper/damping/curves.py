"""The improvement as a function of γ, for one inverse and one kind of update."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from kfac_cli.paper.damping.measure import Improvement


@dataclass(frozen=True)
class Curve:
    """Points in ascending order of γ; where h is not finite, nothing is improved."""

    points: tuple[Improvement, ...]

    @property
    def gammas(self) -> list[float]:
        """The γ of every point."""
        return [point.gamma for point in self.points]

    @property
    def best(self) -> Improvement:
        """The point with the largest improvement."""
        return max(self.points, key=lambda point: _number(point.improvement))

    @property
    def best_by_model(self) -> Improvement:
        """The point with the lowest M(δ)."""
        return max(self.points, key=lambda point: _number(point.predicted))

    @property
    def width(self) -> float:
        """Decades of γ over which the improvement is at least half of the largest.

        Every point stands for the interval up to the middle between it and the next ones. 0 where
        nothing is improved.
        """
        half = _number(self.best.improvement) / 2
        if half <= 0:
            return 0.0
        logs = [math.log10(gamma) for gamma in self.gammas]
        middles = [logs[0], *((a + b) / 2 for a, b in pairwise(logs)), logs[-1]]
        return sum(
            after - before
            for point, (before, after) in zip(self.points, pairwise(middles), strict=True)
            if _number(point.improvement) >= half
        )

    @property
    def lowest_improving(self) -> float:
        """The smallest γ from which on every larger one improves h; infinite if none does."""
        lowest = math.inf
        for point in reversed(self.points):
            if not _number(point.improvement) > 0:
                break
            lowest = point.gamma
        return lowest

    def at(self, gamma: float) -> Improvement:
        """The point of one of the γ."""
        return next(point for point in self.points if point.gamma == gamma)


def curve(points: Sequence[Improvement], inverse: str, update: str) -> Curve:
    """The curve of one inverse and one kind of update."""
    chosen = [point for point in points if (point.inverse, point.update) == (inverse, update)]
    return Curve(tuple(sorted(chosen, key=lambda point: point.gamma)))


def _number(value: float) -> float:
    return value if math.isfinite(value) else -math.inf
