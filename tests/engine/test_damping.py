"""Factored Tikhonov damping (6.3), the rule for lambda (6.5) and the search for gamma (6.6)."""

import math

import pytest
import torch

from kfac_cli.engine import KFACOptions, KroneckerFactors
from kfac_cli.engine.curvature.tikhonov import balance, factored_tikhonov
from kfac_cli.engine.damping import (
    Damping,
    gamma_candidates,
    levenberg_marquardt,
    reduction_ratio,
)

from . import oracles
from .oracles import Architecture, problem

CHAIN = Architecture((3, 2, 3, 2), ("tanh", "logistic"), "bernoulli")
OMEGA_1 = (19 / 20) ** 5
OMEGA_2 = (19 / 20) ** 10


def test_pi_is_the_root_of_the_ratio_of_average_eigenvalues():
    activation = torch.diag(torch.tensor([1.0, 2.0, 9.0], dtype=torch.float64))  # average 4
    gradient = torch.diag(torch.tensor([0.125, 0.375], dtype=torch.float64))  # average 1/4
    assert balance(KroneckerFactors([activation], [gradient])) == [4.0]


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_pi_is_1_if_a_factor_is_zero_or_not_finite(value):
    eye = torch.eye(3, dtype=torch.float64)
    other = value * torch.ones(2, 2, dtype=torch.float64)
    assert balance(KroneckerFactors([eye], [other])) == [1.0]


def test_damping_is_added_to_the_diagonal_factors_only():
    """Abar + pi gamma I and G + gamma/pi I, eqn. 7 with gamma in place of the square root."""
    stats = oracles.statistics(*problem(CHAIN))
    activation, gradient = factored_tikhonov(oracles.tridiagonal(stats, KroneckerFactors), 0.3)
    expected = oracles.damped(stats, 0.3)
    for i in range(3):
        torch.testing.assert_close(activation[i], expected.activation[i][i])
        torch.testing.assert_close(gradient[i], expected.gradient[i][i])


def test_damped_product_expands_to_the_terms_of_section_6_3():
    """The cross terms have equal trace norm: what the choice of pi balances."""
    stats = oracles.statistics(*problem(CHAIN))
    (a, *_), (g, *_) = factored_tikhonov(oracles.tridiagonal(stats, KroneckerFactors), 0.3)
    raw_a, raw_g = stats.activation[0][0], stats.gradient[0][0]
    left = torch.kron(a - raw_a, raw_g).trace()
    right = torch.kron(raw_a, g - raw_g).trace()
    torch.testing.assert_close(left, right)
    shift = torch.kron(a - raw_a, g - raw_g)
    torch.testing.assert_close(shift, 0.3**2 * torch.eye(len(shift), dtype=torch.float64))


@pytest.mark.parametrize(
    ("change", "predicted", "rounding_error", "rho"),
    [
        (-3.0, -4.0, 1e-7, 0.75),
        (1.0, -4.0, 1e-7, -0.25),
        (-2e-7, -1e-7, 2e-7, None),  # both may be rounding errors
        (5.0, -1e-7, 2e-7, None),
        (0.0, 0.0, 0.0, None),  # no change was predicted
        (5.0, 4.0, 1e-7, math.nan),  # an increase, without re-scaling
        (-5.0, 4.0, 1e-7, None),
        (math.nan, -1.0, 1e-7, math.nan),
        (math.inf, 0.0, 1e-7, math.nan),
    ],
)
def test_the_reduction_ratio_and_where_it_is_undefined(change, predicted, rounding_error, rho):
    assert reduction_ratio(change, predicted, rounding_error) == pytest.approx(rho, nan_ok=True)


@pytest.mark.parametrize(
    ("rho", "expected"),
    [
        (1.9, 150 * OMEGA_1),  # early on M holds the lambda term, so rho may exceed 1
        (0.76, 150 * OMEGA_1),
        (0.75, 150),
        (0.5, 150),
        (0.25, 150),
        (0.24, 150 / OMEGA_1),
        (-0.1, 150 / OMEGA_1),  # the objective increased
        (math.nan, 150 / OMEGA_1),
        (math.inf, 150 / OMEGA_1),
        (-math.inf, 150 / OMEGA_1),
    ],
)
def test_levenberg_marquardt_rule(rho, expected):
    assert levenberg_marquardt(150, rho, OMEGA_1) == pytest.approx(expected, rel=1e-15)


def test_first_success_of_the_reference_run():
    assert levenberg_marquardt(150, 1.822, KFACOptions().lambda_factor) == pytest.approx(
        116.0671, abs=5e-5
    )


@pytest.mark.parametrize(
    ("rho", "unresolved", "expected"),
    [
        (None, False, 150.0),  # h increased although M predicted next to nothing
        (None, True, 150 * OMEGA_1),
        (0.5, False, 150.0),
    ],
)
def test_lambda_decreases_if_the_changes_are_below_rounding_errors(rho, unresolved, expected):
    damping = Damping(KFACOptions(lambda_initial=150.0))
    damping.adapt(rho, unresolved=unresolved)
    assert damping.value == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("omega", [OMEGA_1, 0.95, 0.99])
def test_lambda_decreases_to_the_limit_of_float64_and_can_increase_again(omega):
    """CURVES reaches 1e-132 by iteration 6000; it must not get stuck at 0 or a denormal."""
    damping = 1e-300
    for _ in range(5000):
        before, damping = damping, levenberg_marquardt(damping, 1.0, omega)
        assert 0 < damping <= before
    assert levenberg_marquardt(damping, -1.0, omega) > damping


@pytest.mark.parametrize(
    ("gamma", "smallest", "largest", "expected"),
    [
        (0.5, 0.003, 1.0, [0.5, 0.5 * OMEGA_2, 0.5 / OMEGA_2]),  # within both bounds
        (0.9, 0.003, 1.0, [0.9, 0.9 * OMEGA_2, 1.0]),  # the larger one capped
        (0.004, 0.003, 1.0, [0.004, 0.003, 0.004 / OMEGA_2]),  # the smaller one floored
        (12.247, 0.003, 1.0, [12.247, 12.247 * OMEGA_2, 1.0]),  # above the cap: "larger" is 1
        (12.247, 0.003, math.inf, [12.247, 12.247 * OMEGA_2, 12.247 / OMEGA_2]),  # no cap
    ],
)
def test_candidates_for_gamma(gamma, smallest, largest, expected):
    candidates = gamma_candidates(gamma, OMEGA_2, smallest, largest)
    assert sorted(candidates) == pytest.approx(sorted(expected), rel=1e-15)


def test_the_current_gamma_comes_first_and_there_are_no_duplicates():
    """At the floor or the cap two candidates coincide; its inverse is computed once."""
    assert gamma_candidates(1.0, OMEGA_2, 0.003, 1.0) == [1.0, OMEGA_2]
    assert gamma_candidates(0.003, OMEGA_2, 0.003, 1.0) == [0.003, 0.003 / OMEGA_2]


def test_default_options_are_the_papers():
    """All but the initial lambda, which is calibrated."""
    options = KFACOptions(l2=1e-5)
    assert options.lambda_initial == "auto"
    assert options.gamma_initial is None
    assert options.gamma_at(150) == pytest.approx(math.sqrt(150 + 1e-5), rel=1e-15)
    assert options.gamma_floor == pytest.approx(math.sqrt(1e-5), rel=1e-15)
    assert options.gamma_cap == 1.0
    assert (options.t1, options.t2, options.t3) == (5, 20, 20)
    assert options.lambda_factor == pytest.approx((19 / 20) ** 5, rel=1e-15)
    assert options.gamma_factor == pytest.approx(math.sqrt(19 / 20) ** 20, rel=1e-15)
    assert options.tau1 == 1 / 8
    assert options.epsilon_max == 0.95
    assert options.momentum


def test_options_given_replace_the_derived_ones():
    options = KFACOptions(gamma_initial=0.5, gamma_min=0.01, gamma_max=None, omega1=0.9, omega2=0.8)
    assert options.gamma_initial == 0.5
    assert options.gamma_floor == 0.01
    assert options.gamma_cap == math.inf
    assert (options.lambda_factor, options.gamma_factor) == (0.9, 0.8)


@pytest.mark.parametrize(
    ("wrong", "named"), [({"inverse": "diagonal"}, "inverse"), ({"t2": 30, "t3": 20}, "t2")]
)
def test_bad_options_are_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        KFACOptions(**wrong)


@pytest.mark.parametrize(("l2", "expected"), [(1e-5, 1e-4), (0.0, 10 * 0.01**2)])
def test_an_increase_lifts_a_vanished_lambda_to_where_it_has_an_effect(l2, expected):
    damping = Damping(KFACOptions(lambda_initial=1e-60, gamma_initial=0.01, gamma_min=0, l2=l2))
    damping.increase()
    assert damping.value == pytest.approx(expected)
