"""The estimate of the remaining time, on runs with known times."""

import pytest

from kfac_cli.engine import StepRecord
from kfac_cli.run.time_left import TimeLeft
from kfac_cli.schedules import Adaptive, Exponential, Stepwise


def estimate(schedule, total, done, seconds):
    left = TimeLeft(schedule, total)
    for k in range(1, done + 1):
        left.add(schedule.size(k), seconds(schedule.size(k)))
    return left.seconds(done)


@pytest.mark.parametrize("done", [250, 400, 500])
def test_a_linear_cost_is_found_exactly_once_the_sizes_have_grown(done):
    schedule = Exponential(1000, 500, 60_000)
    expected = sum(0.2 + 1e-4 * schedule.size(k) for k in range(done + 1, 501))
    found = estimate(schedule, 500, done, lambda m: 0.2 + 1e-4 * m)
    assert found == pytest.approx(expected, rel=1e-3)


def test_equal_batches_take_equal_times():
    assert estimate(Stepwise([(1, 500)], 60_000), 100, 40, lambda m: 0.5) == pytest.approx(30.0)


def test_an_early_estimate_lies_between_no_growth_and_full_growth_of_the_cost():
    schedule = Exponential(1000, 500, 60_000)
    found = estimate(schedule, 500, 5, lambda m: 0.4)
    constant = 0.4 * 495
    proportional = sum(0.4 * schedule.size(k) / 1000 for k in range(6, 501))
    assert constant < found < proportional


def test_nothing_is_known_before_the_first_iteration_and_nothing_is_left_after_the_last():
    assert TimeLeft(Stepwise([(1, 1)], 1), 5).seconds(0) is None
    assert estimate(Stepwise([(1, 1)], 1), 1, 1, lambda m: 1.0) == 0.0
    assert estimate(Stepwise([(1, 1)], 1), 5, 5, lambda m: 1.0) == 0.0


def test_a_very_long_run_is_estimated_at_once():
    assert estimate(Stepwise([(1, 7)], 10), 10**9, 2, lambda m: 1.0) == pytest.approx(10**9 - 2)


def test_slow_first_iterations_do_not_count():
    left = TimeLeft(Stepwise([(1, 5)], 10), 500)
    found = []
    for iteration, seconds in enumerate([475.0, 4.0, 6.0, 1.0, 1.0], start=1):
        left.add(5, seconds)
        found.append(left.seconds(iteration))
    assert found[0] is None
    assert found[1:] == pytest.approx([498 * 4.0, 497 * 4.0, 496.0, 495.0])


def test_an_adaptive_schedule_is_predicted_to_keep_its_size():
    schedule = Adaptive(100, 60_000, theta=0.5)
    left = TimeLeft(schedule, 20)
    for _ in range(10):
        left.add(schedule.size(1), 0.2)
    assert left.seconds(10) == pytest.approx(2.0)
    schedule.observe(StepRecord(objective=1.0, error=1.0, noise_scale=100.0))
    assert left.seconds(10) == pytest.approx(10 * (0.1 + 0.1 * 4))
