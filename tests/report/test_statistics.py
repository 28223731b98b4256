"""The exact test, against counting by hand."""

import itertools
import math

import pytest

from kfac_cli.report.statistics import p_smaller, seeds_needed, smallest_p, verdict

MISS = math.inf


def by_counting(first, second):
    """The share of the assignments whose rank sum of the first group is at most the observed."""
    values = [*first, *second]
    ranks = [sum(o < v for o in values) + (sum(o == v for o in values) + 1) / 2 for v in values]
    observed = sum(ranks[: len(first)])
    sums = [sum(chosen) for chosen in itertools.combinations(ranks, len(first))]
    return sum(total <= observed + 1e-9 for total in sums) / len(sums)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([1, 2, 3], [4, 5, 6]),
        ([1, 5, 3], [4, 2, 6]),
        ([1, 1, 2], [1, 2, 2]),
        ([10, 20, MISS], [MISS, MISS, MISS]),
        ([7], [1, 2, 3, 4]),
        ([4, 4], [4, 4]),
    ],
)
def test_the_p_value_is_the_share_of_assignments_that_are_as_extreme(first, second):
    assert p_smaller(first, second) == pytest.approx(by_counting(first, second), abs=1e-12)


def test_a_miss_is_worse_than_any_hit_and_all_misses_are_equal():
    assert p_smaller([1e9, 1e9, 1e9], [MISS, MISS, MISS]) == pytest.approx(1 / 20)
    assert p_smaller([MISS, MISS], [MISS, MISS]) == 1


def test_complete_separation_gives_the_smallest_p():
    assert smallest_p(3, 3) == pytest.approx(1 / 20)
    assert p_smaller([1, 2, 3, 4], [5, 6, 7, 8]) == pytest.approx(smallest_p(4, 4))


def test_the_seeds_that_could_suffice():
    assert seeds_needed(0.05) == 3
    assert seeds_needed(0.05, sides=2) == 4
    assert seeds_needed(0.001) == 7


def test_a_verdict_is_two_sided_and_names_the_smaller_group():
    result = verdict([1, 2, 3, 4], [5, 6, 7, MISS])
    assert (result.better, result.p) == (0, pytest.approx(2 / 70))
    assert verdict([5, 6, 7, 8], [1, 2, 3, 4]).better == 1


def test_three_seeds_do_not_suffice_for_a_verdict():
    result = verdict([1, 2, 3], [4, 5, 6])
    assert (result.better, result.p) == (None, pytest.approx(0.1))


def test_a_group_without_values_gives_no_verdict():
    result = verdict([], [1, 2])
    assert result.better is None
    assert math.isnan(result.p)


def test_many_values_are_compared_by_the_normal_approximation():
    assert p_smaller(range(0, 100, 2), range(1, 101, 2)) == pytest.approx(0.43, abs=0.01)
    assert p_smaller(range(50), range(50, 100)) < 1e-10
