"""Mini-batch schedules against section 13 and the reference runs."""

import pytest

from kfac_cli.schedules import exponential, fixed


@pytest.mark.parametrize(
    ("cases", "sizes"),
    [
        (60_000, {1: 1000, 2: 1008, 5: 1033, 100: 2253, 200: 5118, 300: 11626, 500: 60_000}),
        (20_000, {1: 1000, 2: 1006, 5: 1024, 100: 1811, 200: 3302, 300: 6019, 500: 20_000}),
    ],
    ids=["mnist", "curves"],
)
def test_exponential_schedule_gives_the_batch_sizes_of_the_reference_runs(cases, sizes):
    schedule = exponential(1000, 500, cases)
    assert {k: schedule(k) for k in sizes} == sizes
    assert schedule(501) == schedule(10_000) == cases


def test_a_batch_is_never_larger_than_the_training_set():
    assert exponential(1000, 500, 300)(1) == 300
    assert exponential(1000, 500, 300)(77) == 300
    assert fixed(500, 300)(1) == 300


def test_fixed_schedule():
    assert [fixed(500, 60_000)(k) for k in (1, 2, 1000)] == [500, 500, 500]
