"""Exact tests of whether one group's values are smaller than another's.

The values are times to a target, a miss being infinite and thus worse than any hit, or errors. Only
their order counts (Mann and Whitney 1947), in its exact permutation distribution, also with ties.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.05

MAX_EXACT = 60
"""Of more values than this the distribution is approximated by a normal one."""


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

    The share of the assignments of all values to the two groups for which the rank sum of the first
    is at most that observed; ties share their mean rank. nan if a group is empty.
    """
    from scipy.stats import mannwhitneyu, rankdata

    if not len(first) or not len(second):
        return math.nan
    if len(first) + len(second) > MAX_EXACT:
        return float(mannwhitneyu(first, second, alternative="less").pvalue)
    ranks = [round(2 * rank) for rank in rankdata(np.concatenate([first, second]))]
    counts = _subset_sums(ranks, len(first))
    observed = sum(ranks[: len(first)])
    extreme = sum(count for total, count in counts.items() if total <= observed)
    return extreme / math.comb(len(ranks), len(first))


def _subset_sums(numbers: Sequence[int], size: int) -> Counter[int]:
    """How many subsets of so many of the numbers have each sum."""
    found = [Counter({0: 1})] + [Counter[int]() for _ in range(size)]
    for number in numbers:
        for chosen in range(size, 0, -1):
            for total, count in found[chosen - 1].items():
                found[chosen][total + number] += count
    return found[size]


def smallest_p(first: int, second: int) -> float:
    """The smallest one-sided p-value that so many values in two groups can give."""
    return 1 / math.comb(first + second, first)


def seeds_needed(level: float, sides: int = 1) -> int:
    """The smallest number of seeds for each of two groups whose complete separation suffices."""
    seeds = 1
    while sides * smallest_p(seeds, seeds) > level:
        seeds += 1
    return seeds


def verdict(first: Sequence[float], second: Sequence[float]) -> Verdict:
    """Compare two groups without an expectation of which is better: the p-value is two-sided."""
    sizes = len(first), len(second)
    if not min(sizes):
        return Verdict(None, math.nan, sizes)
    sides = p_smaller(first, second), p_smaller(second, first)
    p = min(1.0, 2 * min(sides))
    better = int(sides[1] < sides[0]) if p <= LEVEL else None
    return Verdict(better, p, sizes)
