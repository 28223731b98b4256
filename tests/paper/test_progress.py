"""What reaching the same errors costs, on runs where it is known exactly."""

import math

import numpy as np
import pytest

from kfac_cli.paper.progress import average_ratios, common_errors, cost_at, ratios
from kfac_cli.report.measures import CASES, ITERATIONS, SECONDS

from .made_up import made_up


def test_between_evaluations_the_logarithm_of_the_error_is_linear(tmp_path):
    run = made_up(tmp_path / "run", every=20)
    assert cost_at(run, 16, ITERATIONS) == 40
    assert cost_at(run, 8, ITERATIONS) == pytest.approx(50)
    assert cost_at(run, 8, CASES) == pytest.approx(5000)
    assert cost_at(run, 2**0.5, ITERATIONS) == pytest.approx(75)
    assert cost_at(run, 100, ITERATIONS) == 20  # before the first evaluation nothing is known
    assert cost_at(run, 0.5, ITERATIONS) == math.inf


def test_an_error_after_one_that_is_not_finite_counts_from_its_own_evaluation(tmp_path):
    run = made_up(tmp_path / "run", errors=(math.inf, 4.0))
    assert cost_at(run, 8, ITERATIONS) == 50


def test_common_errors_end_where_the_worse_run_ends(tmp_path):
    better = made_up(tmp_path / "better")
    worse = made_up(tmp_path / "worse", errors=(32.0, 8.0, 2.0))
    assert common_errors([better, worse], 4) == pytest.approx([16, 8, 4, 2])
    slow = made_up(tmp_path / "slow", errors=(90.0, 80.0))  # ends where the better one began
    assert common_errors([better, slow]).tolist() == []
    failed = made_up(tmp_path / "failed", errors=(math.inf,))
    assert common_errors([better, failed]).tolist() == []


@pytest.mark.parametrize("cost", [ITERATIONS, CASES, SECONDS], ids=lambda cost: cost.column)
def test_a_run_that_takes_twice_as_long_has_a_ratio_of_two_at_each_error(tmp_path, cost):
    fast, slow = made_up(tmp_path / "fast", 10), made_up(tmp_path / "slow", 20)
    found = ratios(fast, slow, cost)
    assert [ratio.value for ratio in found] == pytest.approx([2] * 6)
    assert [ratio.error for ratio in found] == pytest.approx(np.geomspace(64, 1, 7)[1:])
    assert [ratio.value for ratio in ratios(slow, fast, cost)] == pytest.approx([0.5] * 6)


STUCK = (16.7, 16.7, 16.6)


@pytest.mark.parametrize(
    ("errors", "best"),
    [
        ((90.0, 80.0), 1),  # ends where the other one begins
        ((1.5, 1.49, 1.48), 1),  # stays where it begins, and the other one passes it
        (STUCK, 1),
        ((math.inf, math.nan), 1),
        ((0.5, 0.3), 0.3),  # is better at once than the other one ever
    ],
    ids=str,
)
def test_a_run_that_never_gets_there_counts_as_a_miss_with_the_weight_of_any_other_pair(
    tmp_path, errors, best
):
    run = made_up(tmp_path / "run")
    other = made_up(tmp_path / "other", errors=errors)
    missed = best == 1
    assert [ratio.value for ratio in ratios(run, other, CASES)] == [math.inf if missed else 0] * 6
    assert [ratio.value for ratio in ratios(other, run, CASES)] == [0 if missed else math.inf] * 6
    assert {ratio.error for ratio in ratios(run, other, CASES)} == {best}


def test_two_runs_that_learn_nothing_say_nothing_of_speed(tmp_path):
    stuck = made_up(tmp_path / "stuck", errors=STUCK)
    failed = made_up(tmp_path / "failed", errors=(math.inf,))
    assert ratios(stuck, stuck, ITERATIONS) == []
    assert ratios(failed, failed, ITERATIONS) == []


def test_the_average_is_compared_in_the_second_half_where_it_differs(tmp_path):
    assert average_ratios(made_up(tmp_path / "a", average=0.5)).tolist() == [0.5, 0.5]
    assert average_ratios(made_up(tmp_path / "b", average=1)).tolist() == []
