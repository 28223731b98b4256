"""Mini-batch schedules: section 13 and the reference runs, tables, and Byrd et al. (2012)."""

import math

import pytest

from kfac_cli.config.choices import choices
from kfac_cli.config.compose import load_config
from kfac_cli.config.schema import RunConfig
from kfac_cli.engine import StepRecord
from kfac_cli.engine.declaration import declared_fields, variants
from kfac_cli.schedules import SCHEDULES, Adaptive, Exponential, ScheduleOptions, Stepwise


@pytest.mark.parametrize(
    ("cases", "sizes"),
    [
        (60_000, {1: 1000, 2: 1008, 5: 1033, 100: 2253, 200: 5118, 300: 11626, 500: 60_000}),
        (20_000, {1: 1000, 2: 1006, 5: 1024, 100: 1811, 200: 3302, 300: 6019, 500: 20_000}),
    ],
    ids=["mnist", "curves"],
)
def test_exponential_schedule_gives_the_batch_sizes_of_the_reference_runs(cases, sizes):
    schedule = Exponential(1000, 500, cases)
    assert {k: schedule.size(k) for k in sizes} == sizes
    assert schedule.size(501) == schedule.size(10_000) == cases


def test_a_batch_is_never_larger_than_the_training_set():
    assert Exponential(1000, 500, 300).size(1) == 300
    assert Exponential(1000, 500, 300).size(77) == 300
    assert Stepwise([(1, 200), (3, 500)], 300).size(9) == 300
    assert Adaptive(1000, 300, 0.5).size(1) == 300


def test_a_table_holds_each_size_until_the_next():
    schedule = Stepwise([(1, 500), (4, 2000), (6, 100)], 60_000)
    sizes = [schedule.size(k) for k in range(1, 8)]
    assert sizes == [500, 500, 500, 2000, 2000, 100, 100]
    assert schedule.size(10**9) == 100


def step(noise_scale):
    return StepRecord(objective=1.0, error=1.0, noise_scale=noise_scale)


@pytest.mark.parametrize(
    ("noise_scale", "size"),
    [
        (24.9, 100),  # below theta² m: the gradient is good enough
        (25.0, 100),
        (25.1, 101),  # V / (theta² |g|²), rounded up
        (90.0, 360),
        (1e9, 5000),
        (math.inf, 5000),
        (math.nan, 100),
        (None, 100),  # a rejected step measures nothing
    ],
)
def test_an_adaptive_batch_becomes_as_large_as_the_noise_demands(noise_scale, size):
    schedule = Adaptive(100, 5000, theta=0.5)
    schedule.observe(step(noise_scale))
    assert schedule.size(2) == schedule.size(1000) == size


def test_an_adaptive_batch_never_shrinks():
    schedule = Adaptive(100, 5000, theta=0.5)
    sizes = []
    for noise_scale in (50.0, 10.0, 60.0, 0.0):
        schedule.observe(step(noise_scale))
        sizes.append(schedule.size(1))
    assert sizes == [200, 200, 240, 240]


def test_noise_is_measured_only_where_a_batch_can_still_grow():
    schedule = Adaptive(100, 300, theta=1.0)
    assert schedule.wants_noise_scale(1)
    schedule.observe(step(400.0))
    assert not schedule.wants_noise_scale(2)
    assert not Adaptive(100, 1, theta=1.0).wants_noise_scale(1)  # one case has no variance
    assert not Stepwise([(1, 100)], 300).wants_noise_scale(1)
    assert not Exponential(100, 50, 300).wants_noise_scale(1)


def test_a_schedule_with_a_smaller_maximum_takes_over_no_larger_size():
    schedule, smaller = Adaptive(100, 5000, theta=0.5), Adaptive(100, 300, theta=0.5)
    schedule.observe(step(90.0))
    smaller.load_state_dict(schedule.state_dict())
    assert (schedule.size(2), smaller.size(2)) == (360, 300)


def test_a_restored_schedule_continues_with_the_same_size():
    schedule, restored = (Adaptive(100, 5000, theta=0.5) for _ in range(2))
    schedule.observe(step(50.0))
    restored.load_state_dict(schedule.state_dict())
    assert restored.size(2) == schedule.size(2) == 200
    fixed = Stepwise([(1, 100)], 300)
    fixed.load_state_dict(fixed.state_dict())
    assert fixed.size(7) == 100


@pytest.mark.parametrize(
    ("overrides", "sizes"),
    [
        (["schedule=exponential", "schedule.full_at=3"], [1000, 7745, 60_000]),
        (["schedule=fixed", "schedule.size=700"], [700, 700, 700]),
        (["schedule=stepwise", "schedule.steps=[[1,5],[3,7]]"], [5, 5, 7]),
        (["schedule=adaptive", "schedule.initial=70"], [70, 70, 70]),
    ],
)
def test_settings_become_schedules(overrides, sizes):
    schedule = load_config(overrides).schedule.make(60_000)
    assert [schedule.size(k) for k in (1, 2, 3)] == sizes


# The registry


def test_every_registered_schedule_can_be_chosen_and_made():
    chosen = dict(variants(declared_fields(RunConfig)["schedule"]))
    assert set(chosen.values()) == set(SCHEDULES)
    made = {load_config([f"schedule={choice}"]).schedule.kind for choice in choices("schedule")}
    assert made == chosen.keys()
    for options in SCHEDULES:
        assert "make" in vars(options)
        assert options.__doc__ != ScheduleOptions.__doc__


def test_no_options_of_a_schedule_are_forgotten():
    assert set(ScheduleOptions.__subclasses__()) == set(SCHEDULES)


@pytest.mark.parametrize("choice", choices("schedule"))
def test_every_choice_makes_a_schedule_with_mini_batches_within_the_training_set(choice):
    words = {"stepwise": ["schedule.steps=[[1,5]]"]}.get(choice, [])
    schedule = load_config([f"schedule={choice}", *words]).schedule.make(300)
    assert all(1 <= schedule.size(k) <= 300 for k in (1, 10, 10_000))
    schedule.load_state_dict(schedule.state_dict())


@pytest.mark.parametrize(
    ("maximum", "cases", "largest"), [("null", 500, 500), (400, 500, 400), (900, 500, 500)]
)
def test_an_adaptive_batch_is_bounded_by_its_maximum_and_the_training_set(maximum, cases, largest):
    overrides = ["schedule=adaptive", "schedule.initial=10", f"schedule.maximum={maximum}"]
    schedule = load_config(overrides).schedule.make(cases)
    schedule.observe(step(math.inf))
    assert schedule.size(2) == largest
