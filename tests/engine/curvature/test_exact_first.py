"""Exact Tikhonov damping in the first two iterations, factored damping from then on."""

import pytest
import torch

from engine import oracles
from engine.oracles import Architecture, problem
from kfac_cli.engine import KFAC, KFACOptions, KroneckerFactors, Network, kfac
from kfac_cli.engine.calibration import MANY_CASES
from kfac_cli.engine.curvature.dense import matrix_of
from kfac_cli.engine.curvature.registry import make_curvature

CHAIN = Architecture((3, 2, 3, 2), ("tanh", "logistic"), "bernoulli")
GAMMA = 0.3
BOTH = pytest.mark.parametrize("inverse", ["block_diagonal", "block_tridiagonal"])


def dense_inverse(inverse, iteration):
    """The engine's inverse at an iteration, as a matrix."""
    curvature = make_curvature(KFACOptions(inverse=inverse, tikhonov="exact_first"))
    statistics = oracles.statistics(*problem(CHAIN))
    curvature.update(oracles.tridiagonal(statistics, KroneckerFactors), iteration)
    [made] = curvature.inverses([GAMMA])
    return matrix_of(made.multiply, CHAIN.layer_sizes)


@pytest.mark.parametrize("iteration", [1, 2])
@pytest.mark.parametrize("inverse", ["block_diagonal", "block_tridiagonal", "ekfac"])
def test_at_first_it_is_the_block_diagonal_with_gamma_squared_on_its_diagonal(inverse, iteration):
    expected = oracles.exactly_damped(oracles.statistics(*problem(CHAIN)), GAMMA)
    torch.testing.assert_close(dense_inverse(inverse, iteration), torch.linalg.inv(expected))


@BOTH
@pytest.mark.parametrize("iteration", [3, 100])
def test_then_it_is_the_inverse_with_factored_damping(inverse, iteration):
    expected = oracles.approximate_fisher(inverse, oracles.statistics(*problem(CHAIN)), GAMMA)
    torch.testing.assert_close(dense_inverse(inverse, iteration), torch.linalg.inv(expected))


def optimizer(**options):
    """K-FAC with these options; the same at each call."""
    start = problem(CHAIN)
    return KFAC(
        Network(*CHAIN),
        oracles.unvec(start.theta, CHAIN.layer_sizes),
        KFACOptions(**{"tikhonov": "exact_first"} | options),
        torch.Generator().manual_seed(0),
    )


def batch(iteration, cases=16):
    fresh = problem(CHAIN, cases, seed=100 + iteration)
    return fresh.inputs, fresh.targets


@pytest.mark.parametrize(("cases", "last"), [(MANY_CASES - 1, 3), (MANY_CASES, 6)])
def test_the_first_six_iterations_make_a_new_inverse_and_on_many_cases_calibrate_lambda(
    monkeypatch, cases, last
):
    calibrated, refreshed, run = [], [], optimizer(t2=20, t3=10)
    monkeypatch.setattr(
        kfac, "calibrated_lambda", lambda *_: calibrated.append(run.iteration) or 1.0
    )
    for iteration in range(1, 11):
        before = run.direction.inverse
        assert run.step(*batch(iteration, cases)).outcome == "accepted"
        if run.direction.inverse is not before:
            refreshed.append(iteration)
    assert calibrated == [*range(1, last + 1)]
    assert refreshed == [1, 2, 3, 4, 5, 6, 10]


@pytest.mark.parametrize(
    "structure",
    [
        {"inverse": "block_diagonal"},
        {"inverse": "block_diagonal", "l2_product": "refreshed"},
        {"inverse": "block_tridiagonal"},
        {"inverse": "ekfac"},
    ],
)
def test_a_run_continues_bit_for_bit_from_either_part(structure):
    options = {"lambda_initial": 1.0, "t3": 2, "t2": 2, **structure}
    whole = optimizer(**options)
    for iteration in range(1, 9):
        resumed, state = optimizer(**options), whole.state_dict()
        resumed.state_rules()(state, "state")
        resumed.load_state_dict(state)
        for each in (whole, resumed):
            assert each.step(*batch(iteration)).outcome == "accepted"
        assert all(map(torch.equal, whole.parameters, resumed.parameters))


@pytest.mark.parametrize(("before", "after"), [("exact_first", "factored"), ("factored", "exact")])
def test_what_was_learnt_with_one_damping_suits_another(before, after):
    options = {"inverse": "block_diagonal", "lambda_initial": 1.0}
    first, then = (optimizer(tikhonov=each, **options) for each in (before, after))
    first.step(*batch(1))
    then.state_rules()(first.state_dict(), "state")
    then.load_state_dict(first.state_dict())
    products = [each.direction.inverse.multiply(each.parameters) for each in (first, then)]
    assert all(map(torch.equal, *products))
    assert then.step(*batch(2)).outcome == "accepted"


def test_without_a_curvature_it_has_no_effect():
    options = {"inverse": "identity", "gamma_rule": "fixed"}
    factored = KFACOptions(tikhonov="factored", **options)
    assert KFACOptions(**options).first_iterations == factored.first_iterations
