"""A name that is no setting brings up the one that was meant, or the choice that has it."""

import pytest

from kfac_cli.config.names import suggestion


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("iteration", "iterations"),
        ("optimizer.lambda_init", "optimizer.lambda_initial"),
        ("learning_rat", "optimizer.learning_rate"),
        ("polyak.decey", "polyak.decay"),
        ("optimiser", "optimizer"),
        ("epochs", "iterations"),
        (
            "optimizer.lr",
            "optimizer.learning_rate, or with torch's adam, adamw, sgd, muon "
            "optimizer.arguments.lr",
        ),
        ("schedule.batch_size", "schedule.size, with schedule=fixed"),
        ("optimizer.nam", "optimizer.name"),
        ("dataset.see", "dataset.seed"),
    ],
)
def test_a_mistyped_name_brings_up_the_one_that_was_meant(typed, meant):
    assert suggestion(typed) == f"; did you mean {meant}? kfac-run --cfg job lists them all"


@pytest.mark.parametrize(
    ("typed", "choices"),
    [
        ("schedule.size", "schedule=fixed"),
        ("schedule.initial", "schedule=exponential or schedule=adaptive"),
        ("optimizer.tau2", "optimizer=kfac_tridiag"),
    ],
)
def test_a_setting_of_another_choice_names_that_choice(typed, choices):
    group = typed.partition(".")[0]
    assert suggestion(typed) == (
        f" with this choice of {group}, but with {choices}; kfac-run --cfg job lists them all"
    )


def test_a_name_like_no_other_brings_up_none():
    assert suggestion("xyzzy") == "; kfac-run --cfg job lists them all"
