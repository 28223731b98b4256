"""Exact tests of whether one group's values are smaller than another's.

The values are times to a target, a miss being infinite and thus worse than any hit, or errors. Only
their order counts (Mann and Whitney 1947), in its exact permutation distribution, also with ties.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.05

MAX_PERMUTATIONS = 200_000
"""Up to so many permutations the p-value is exact; beyond, so many random ones are taken."""


@dataclass(frozen=True)
class Verdict:
    """Which of two groups has the smaller values.

    `better` is 0 for the first, 1 for the second, None if the evidence does not suffice at the
    level. `p` is two-sided; `sizes` are the numbers of values.
    """

    better: int | None
    p: float
    sizes: tuple[int, int]


def p_smaller(first: Sequence[float], second: Sequence[float]) -> float:
    """One-sided p-value of the hypothesis that the values of `first` are no smaller.

    Exact: the share of the assignments of all values to the two groups for which the rank sum of
    the first is at most that observed. nan if a group is empty.
    """
    from scipy.stats import permutation_test, rankdata

    if not len(first) or not len(second):
        return math.nan
    ranks = rankdata(np.concatenate([first, second]))
    exact = math.comb(len(ranks), len(first)) <= MAX_PERMUTATIONS
    result = permutation_test(
        (ranks[: len(first)], ranks[len(first) :]),
        lambda a, b, axis: a.sum(axis=axis),
        alternative="less",
        n_resamples=math.inf if exact else MAX_PERMUTATIONS,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def smallest_p(first: int, second: int) -> float:
    """The smallest one-sided p-value that so many values in two groups can give."""
    return 1 / math.comb(first + second, first)


def seeds_needed(level: float, sides: int = 1) -> int:
    """The smallest number of seeds for each of two groups whose complete separation suffices."""
    seeds = 1
    while sides * smallest_p(seeds, seeds) > level:
        seeds += 1
    return seeds


def verdict(first: Sequence[float], second: Sequence[float], level: float = LEVEL) -> Verdict:
    """Compare two groups without an expectation of which is better: the p-value is two-sided."""
    sizes = len(first), len(second)
    if not min(sizes):
        return Verdict(None, math.nan, sizes)
    sides = p_smaller(first, second), p_smaller(second, first)
    p = min(1.0, 2 * min(sides))
    better = int(sides[1] < sides[0]) if p <= level else None
    return Verdict(better, p, sizes)
