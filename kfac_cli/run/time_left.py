"""How long a run will still take, when its mini-batches grow."""

from kfac_cli.run.schedules import Schedule

SAMPLED_ITERATIONS = 1000
"""Iterations ahead at which the schedule is looked at; more change the estimate by little."""

MIN_VARIATION = 0.25
"""Relative standard deviation of the sizes from which on the two terms can be told apart."""


class TimeLeft:
    """Fits seconds = a + b·m to the iterations so far, m being the mini-batch size.

    Until the sizes vary enough, refreshes of the inverse and other noise would swamp the fit, and
    half of the time is ascribed to each term. Sizes to come are those that the schedule expects.
    """

    def __init__(self, schedule: Schedule, iterations: int) -> None:
        self._schedule = schedule
        self._iterations = iterations
        self._count = 0
        self._sum_m = self._sum_mm = self._sum_t = self._sum_mt = 0.0

    def add(self, batch_size: int, seconds: float) -> None:
        """Take in an iteration, with everything that was done around it."""
        self._count += 1
        self._sum_m += batch_size
        self._sum_mm += batch_size**2
        self._sum_t += seconds
        self._sum_mt += batch_size * seconds

    def seconds(self, iteration: int) -> float | None:
        """Seconds from the end of `iteration` to the end of the run; None before any iteration."""
        remaining = self._iterations - iteration
        if self._count == 0 or remaining <= 0:
            return None if self._count == 0 else 0.0
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
