"""The remaining time of a run whose mini-batches grow."""

import math

from kfac_cli.engine.options.curvature import FIRST_WITH_EXACT
from kfac_cli.schedules import Schedule

SAMPLED_ITERATIONS = 1000
"""The schedule is evaluated at this many future iterations; more change the estimate little."""

WARM_UP = FIRST_WITH_EXACT
"""Iterations that may take longer than others: they calibrate λ and make new inverses."""

MIN_VARIATION = 0.25
"""The least relative standard deviation of the sizes that distinguishes the two terms."""


class TimeLeft:
    """Fits seconds = a + b·m to the iterations so far, where m is the mini-batch size.

    Until the sizes vary enough for a fit, half of the time is ascribed to each term. Future sizes
    are those that the schedule predicts. The first iterations, which calibrate λ, do not count once
    there are others; until then the fastest does, but never the very first, which warms up.
    """

    def __init__(self, schedule: Schedule, iterations: int) -> None:
        self._schedule = schedule
        self._iterations = iterations
        self._seen = 0
        self._fastest = math.inf
        self._forget()

    def add(self, batch_size: int, seconds: float) -> None:
        """Add an iteration, with everything that was done around it."""
        self._seen += 1
        if self._seen <= WARM_UP:
            self._add_early(batch_size, seconds)
            return
        if self._seen == WARM_UP + 1:
            self._forget()
        self._add(batch_size, seconds)

    def _add_early(self, batch_size: int, seconds: float) -> None:
        if self._seen > 1 and seconds < self._fastest:
            self._forget()
            self._fastest = seconds
            self._add(batch_size, seconds)

    def _forget(self) -> None:
        self._count = 0
        self._sum_m = self._sum_mm = self._sum_t = self._sum_mt = 0.0

    def _add(self, batch_size: int, seconds: float) -> None:
        self._count += 1
        self._sum_m += batch_size
        self._sum_mm += batch_size**2
        self._sum_t += seconds
        self._sum_mt += batch_size * seconds

    def seconds(self, iteration: int) -> float | None:
        """Seconds from the end of `iteration` to the end of the run; None if there is no telling.

        That is so before the second iteration.
        """
        remaining = self._iterations - iteration
        if remaining <= 0 < self._seen:
            return 0.0
        if self._count == 0:
            return None
        fixed, per_case = self._fit()
        return remaining * (fixed + per_case * self._mean_size(iteration + 1, remaining))

    def _fit(self) -> tuple[float, float]:
        mean_m, mean_t = self._sum_m / self._count, self._sum_t / self._count
        variance = self._sum_mm / self._count - mean_m**2
        if variance <= (MIN_VARIATION * mean_m) ** 2:
            return mean_t / 2, mean_t / 2 / mean_m
        slope = (self._sum_mt / self._count - mean_m * mean_t) / variance
        slope = min(max(slope, 0.0), mean_t / mean_m)
        return mean_t - slope * mean_m, slope

    def _mean_size(self, first: int, count: int) -> float:
        samples = min(count, SAMPLED_ITERATIONS)
        ahead = (first + (2 * i + 1) * count // (2 * samples) for i in range(samples))
        return sum(self._schedule.size(k) for k in ahead) / samples
