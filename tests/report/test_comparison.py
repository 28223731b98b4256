"""The one-sided rank test, its interval and the number of runs that it needs."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from kfac_cli.report.comparison import compare, median, runs_needed

INF = math.inf


def counted_p(x, y):
    """The share of all divisions in which the first part has a rank sum as small as that of x."""
    ranks = stats.rankdata([*x, *y])
    observed = ranks[: len(x)].sum()
    sums = [sum(part) for part in itertools.combinations(ranks, len(x))]
    return np.mean([total <= observed + 1e-9 for total in sums])


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1, 2, 3], [4, 5, 6]),
        ([1, 5, 3], [4, 2, 6]),
        ([1, 1, 2], [1, 2, 2]),
        ([1, 2, INF], [3, INF, INF]),
        ([INF, INF], [1, 2, 3]),
        ([0.5], [0.7, 0.1]),
    ],
)
def test_p_is_the_share_of_divisions_that_favour_the_first_as_much(x, y):
    comparison = compare(x, y, 0.05)
    assert comparison.exact
    assert comparison.p == pytest.approx(counted_p(x, y), abs=1e-12)
    assert comparison.smallest_p == 1 / math.comb(len(x) + len(y), len(x))


def test_only_the_order_counts_and_a_miss_is_worse_than_any_hit():
    assert compare([1, 2, 3], [4, 5, 6], 0.05).p == compare([1, 2, 3], [4, 1e9, INF], 0.05).p
    assert compare([1, 2, 3], [INF] * 3, 0.05).p == 0.05


def test_equal_samples_favour_neither_side():
    comparison = compare([INF, INF, INF], [INF, INF, INF], 0.05)
    assert (comparison.p, comparison.ratio) == (1.0, 1.0)


def test_the_effect_is_the_median_quotient_of_all_pairs():
    assert compare([1, 2, 4], [8, 8, 8], 0.05).ratio == 4
    assert compare([1, 2], [INF, 4], 0.05).ratio == INF


@pytest.mark.parametrize("level", [0.05, 0.1, 0.2])
def test_the_interval_excludes_one_exactly_when_the_test_rejects(level):
    generator = np.random.default_rng(3)
    for n, m in [(3, 3), (4, 5), (6, 6)] * 20:
        x, y = generator.lognormal(0, 1, n), generator.lognormal(0.7, 1, m)
        forth, back = compare(x, y, level), compare(y, x, level)
        assert (forth.interval[0] > 1) == (forth.p <= level * (1 + 1e-9))
        assert (forth.interval[1] < 1) == (back.p <= level * (1 + 1e-9))


def test_with_too_few_runs_the_interval_is_everything():
    assert compare([1, 2], [8, 9], 0.05).interval == (0, INF)


def test_many_runs_use_the_normal_approximation_and_it_is_close():
    generator = np.random.default_rng(0)
    x, y = generator.normal(10, 1, 12), generator.normal(10.5, 1, 12)
    comparison = compare(x, y, 0.05)
    assert not comparison.exact
    exact = stats.mannwhitneyu(x, y, alternative="less", method="exact").pvalue
    assert comparison.p == pytest.approx(exact, abs=0.01)


@pytest.mark.parametrize(("level", "runs"), [(0.5, 1), (0.2, 2), (0.05, 3), (0.01, 5), (0.001, 7)])
def test_runs_needed_is_the_smallest_number_that_can_reject(level, runs):
    assert runs_needed(level) == runs


def test_the_median_of_misses_is_a_miss():
    assert median([1, 2, INF]) == 2
    assert median([1, INF, INF]) == INF
    assert median([1, INF]) == INF
    assert median([1, 2]) == 1.5


@pytest.mark.parametrize(("x", "y"), [([], [1]), ([1], []), ([math.nan], [1])])
def test_samples_without_numbers_are_refused(x, y):
    with pytest.raises(ValueError, match="need values"):
        compare(x, y, 0.05)
