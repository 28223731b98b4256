"""The best parameters of a run: the lowest training error of all evaluations."""

import math

import pytest
import torch
from soak.compare import place_of_difference

from kfac_cli.run.best import Best


def parameters(value):
    return [torch.full((2, 3), value)]


def row(iteration, error, averaged=None, test_error=0.0):
    return {
        "iteration": iteration,
        "train_error": error,
        "train_error_average": error if averaged is None else averaged,
        "test_error": test_error,
        "test_error_average": test_error,
    }


def errors(row):
    return row["train_error"], row["train_error_average"]


def best_of(*rows):
    """After these evaluations, of iterates full of 1, 2, … and averages full of 10, 20, …"""
    best = Best()
    for number, each in enumerate(rows, 1):
        best.include(each, parameters(float(number)), parameters(10.0 * number))
    return best


@pytest.mark.parametrize(
    ("rows", "kept", "kind"),
    [
        ([row(5, 3.0), row(10, 2.0)], 2.0, "iterate"),
        ([row(5, 2.0), row(10, 3.0)], 1.0, "iterate"),
        ([row(5, 3.0), row(10, 4.0, averaged=2.0), row(15, 2.5)], 20.0, "average"),
        ([row(5, 2.0), row(10, 2.0)], 1.0, "iterate"),  # the earliest of equal ones
        ([row(5, 2.0, averaged=2.0)], 1.0, "iterate"),
        ([row(5, math.nan), row(10, 7.0), row(15, math.inf)], 2.0, "iterate"),
    ],
)
def test_the_parameters_with_the_lowest_error_are_kept(rows, kept, kind):
    best = best_of(*rows)
    assert torch.equal(best.parameters[0], parameters(kept)[0])
    assert best.values["best_parameters"] == kind
    assert best.train_error == min(e for r in rows for e in errors(r) if math.isfinite(e))


def test_the_errors_and_the_iteration_are_theirs():
    assert best_of(row(5, 2.0, test_error=4.0), row(10, 3.0, test_error=1.0)).values == {
        "best_train_error": 2.0,
        "best_iteration": 5,
        "best_parameters": "iterate",
        "best_test_error": 4.0,
    }


@pytest.mark.parametrize("rows", [[], [row(5, math.nan)]])
def test_without_a_finite_error_there_are_none(rows):
    best = best_of(*rows)
    assert (best.parameters, best.train_error) == ([], math.inf)
    assert set(best.values.values()) == {None}


def test_an_evaluation_of_the_same_iteration_counts_once():
    best = best_of(row(5, 2.0), row(5, 2.0), row(10, 2.0))
    assert (best.evaluations, best.latest) == (2, 10)


def test_the_state_is_everything():
    best, other = best_of(row(5, 2.0), row(10, 3.0)), Best()
    other.load_state_dict(best.state_dict())
    assert place_of_difference(vars(best), vars(other)) is None
