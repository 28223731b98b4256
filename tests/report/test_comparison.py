"""The comparison behind a claim: one-sided test, effect, and the interval that belongs to it."""

import itertools
import math

import numpy as np
import pytest

from kfac_cli.report.comparison import compare

INF = math.inf


def test_only_the_order_counts_and_a_miss_is_worse_than_any_hit():
    assert compare([1, 2, 3], [4, 5, 6], 0.05).p == compare([1, 2, 3], [4, 1e9, INF], 0.05).p
    assert compare([1, 2, 3], [INF] * 3, 0.05).p == 0.05
    assert compare([1, 2, 3], [4, 5, 6], 0.05).smallest_p == 1 / 20


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


def test_the_interval_covers_the_true_quotient_as_often_as_it_says():
    """Over all orders of 4 + 4 different values, exactly: a shift of 1 is the truth."""
    covered = []
    for places in itertools.combinations(range(8), 4):
        x = [float(2**place) for place in places]
        y = [float(2**place) for place in range(8) if place not in places]
        low, high = compare(x, y, 0.1).interval
        covered.append(low <= 1 <= high)
    assert 0.8 <= np.mean(covered) <= 0.9


def test_with_too_few_runs_the_interval_is_everything():
    assert compare([1, 2], [8, 9], 0.05).interval == (0, INF)


def test_very_many_runs_are_approximated():
    assert compare([1.0] * 30, [2.0] * 30, 0.05).exact
    assert not compare([1.0] * 31, [2.0] * 30, 0.05).exact


@pytest.mark.parametrize(("x", "y"), [([], [1]), ([1], []), ([math.nan], [1])])
def test_samples_without_numbers_are_refused(x, y):
    with pytest.raises(ValueError, match="need values"):
        compare(x, y, 0.05)
