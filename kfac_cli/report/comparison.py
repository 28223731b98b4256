"""Compare two samples of a measure of which less is better: test, effect and interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kfac_cli.report.problem import median
from kfac_cli.report.statistics import MAX_EXACT, p_smaller, smallest_p


@dataclass(frozen=True)
class Comparison:
    """The outcome of a comparison, in which infinity stands for "not reached".

    Attributes:
        ratio: median of the quotients of all pairs, second over first sample (Hodges and Lehmann
            1963, on a logarithmic scale); above 1 if the first is better.
        interval: the ratios that a one-sided test on either side does not reject at the level.
        p: the probability, if both samples came from one distribution, that the first would be as
            much better or more.
        smallest_p: the smallest value that `p` can take with so many runs.
        exact: whether `p` was counted rather than approximated.
    """

    ratio: float
    interval: tuple[float, float]
    p: float
    smallest_p: float
    exact: bool


def compare(first: Sequence[float], second: Sequence[float], level: float) -> Comparison:
    """Test, one-sided, whether the first sample is smaller; values are at least 0 or infinite.

    Raises ValueError if a sample is empty or a value is not a number.
    """
    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if not len(x) or not len(y) or np.isnan(x).any() or np.isnan(y).any():
        raise ValueError("both samples need values, and every value must be a number")
    quotients = np.sort(_quotients(x, y))
    return Comparison(
        ratio=median(quotients),
        interval=_interval(quotients, len(x), len(y), level),
        p=p_smaller(x.tolist(), y.tolist()),
        smallest_p=smallest_p(len(x), len(y)),
        exact=len(x) + len(y) <= MAX_EXACT,
    )


def _quotients(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The quotients y / x of all pairs; equal values, also two zeros or infinities, give 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotients: np.ndarray = np.where(x[:, None] == y, 1.0, y / x[:, None])
    return quotients.ravel()


def _interval(quotients: np.ndarray, n: int, m: int, level: float) -> tuple[float, float]:
    """The interval that belongs to the test: order statistics of the quotients."""
    cumulative = np.cumsum(_rank_sum_counts(n, m)) / math.comb(n + m, n)
    outside = int(np.searchsorted(cumulative, level * (1 + 1e-12), side="right"))
    if outside == 0:
        return 0.0, math.inf
    return float(quotients[outside - 1]), float(quotients[-outside])


def _rank_sum_counts(n: int, m: int) -> np.ndarray:
    """How many divisions of n + m different values have U = 0, 1, …, n·m: Gaussian binomials."""
    counts = np.zeros(n * m + 1)
    counts[0] = 1.0
    for i in range(1, n + 1):
        for power in range(m + i, n * m + 1):  # times 1 - q^(m+i), from the highest power down
            place = n * m + m + i - power
            counts[place] -= counts[place - m - i]
        for power in range(i, n * m + 1):  # divided by 1 - q^i
            counts[power] += counts[power - i]
    return counts
