"""Appendix B's doubling iteration against dense solutions, decompositions and known spectra."""

import logging
import math

import pytest
import torch

from engine import oracles
from engine.curvature.appendix_b import (
    FLOAT64_EPS,
    DifferenceInverse,
    dense,
    error,
    nearly_singular,
    normal,
    with_condition,
)
from engine.oracles import ODD_ARCHITECTURES, every_architecture, problem
from kfac_cli.engine import BlockTridiagonalInverse, KroneckerFactors
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.stein import (
    DoublingCoupling,
    attempted_doublings,
    doubling_couplings,
)

EVERY = pytest.mark.parametrize("architecture", every_architecture() + ODD_ARCHITECTURES, ids=str)


def doubled(a, b, x, y, dtype=torch.float64):
    """The inverse by doubling, which must converge."""
    return DifferenceInverse(
        a, b, x, y, dtype, couple=lambda pairs, kind, _: attempted_doublings(pairs, kind)
    )


def small(c_columns, d_columns, scale=0.05):
    """A problem with s1 s2 well below 1."""
    a, b = with_condition(4, 10.0, seed=1), with_condition(5, 10.0, seed=2)
    x, y = scale * normal(4, c_columns, seed=3), scale * normal(5, d_columns, seed=4)
    return (a, b, x, y), dense(a, b, x @ x.T, y @ y.T, -1)


@pytest.mark.parametrize("columns", [(1, 2), (3, 7), (6, 2), (6, 7), (4, 5)])
def test_doubling_inverts_a_difference_of_kronecker_products(columns):
    """C and D of lower, equal and higher rank than A and B."""
    given, matrix = small(*columns)
    assert error(doubled(*given), matrix, normal(5, 4, seed=9)) < 1e-12


@pytest.mark.parametrize("gap", [0.5, 1e-1, 1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_number_of_doublings_follows_from_the_spectral_radius(gap, dtype):
    """(s1 s2)^(2^j) < eps gives j; bounding s1 s2 by norms may take one more."""
    a, b, x, y, _, _ = nearly_singular(1.0, gap)
    needed = math.ceil(math.log2(math.log(torch.finfo(dtype).eps) / math.log(1 - gap)))
    inverse = doubled(a, b, x, y, dtype)
    assert needed <= len(inverse.coupling.a_powers) <= needed + 1


@pytest.mark.parametrize("condition", [1.0, 1e4])
@pytest.mark.parametrize("gap", [0.5, 1e-2, 1e-4])
def test_the_error_is_that_of_decompositions(condition, gap):
    """Condition over 1 - s1 s2; powers in float32 add only float32's own rounding."""
    a, b, x, y, v, answer = nearly_singular(condition, gap)
    double = doubled(a, b, x, y).multiply(v)
    single = doubled(a, b, x, y, torch.float32).multiply(v.float())
    allowed = 10 * FLOAT64_EPS * condition / gap
    assert oracles.relative_error(double, answer) < allowed
    assert oracles.relative_error(single.double(), answer) < allowed + 2e-6  # eps: 1.2e-7


@pytest.mark.parametrize(
    ("gap", "reason"),
    [
        (1e-6, "20 doublings leave a remainder of"),
        (1e-10, "20 doublings leave a remainder of"),
        (-1e-3, "the doubling iteration diverges"),
        (-1.0, "the doubling iteration diverges"),
    ],
)
def test_decompositions_are_used_if_doubling_does_not_converge(gap, reason, caplog):
    """s1 s2 too near 1 for the maximum number of doublings or, by rounding, above 1."""
    a, b, x, y, v, _ = nearly_singular(1.0, gap)
    fallbacks, theirs = Fallbacks(), Fallbacks()
    with caplog.at_level(logging.WARNING):
        inverse = DifferenceInverse(a, b, x, y, torch.float64, fallbacks, doubling_couplings)
    assert reason in caplog.text and "solved by decompositions" in caplog.text
    expected = DifferenceInverse(a, b, x, y, torch.float64, theirs)
    assert torch.equal(inverse.multiply(v), expected.multiply(v))
    assert fallbacks == Fallbacks(unconverged_doublings=1, clipped_sums=theirs.clipped_sums)


def test_a_converging_iteration_does_not_count_as_a_fallback():
    fallbacks = Fallbacks()
    given, _ = small(2, 3)
    inverse = DifferenceInverse(*given, torch.float64, fallbacks, doubling_couplings)
    assert isinstance(inverse.coupling, DoublingCoupling)
    assert fallbacks == Fallbacks()


def test_the_scaling_of_the_factors_of_a_product_makes_no_difference():
    """s1 = 1e150 and s2 = 1e-151 are as good as 1 and 0.1: powers are rescaled."""
    (a, b, x, y), _ = small(4, 5)
    v = normal(5, 4, seed=9)
    even = doubled(a, b, x, y)
    uneven = doubled(a, b, 1e60 * x, 1e-60 * y)
    torch.testing.assert_close(uneven.multiply(v), even.multiply(v), rtol=1e-12, atol=0)
    assert len(uneven.coupling.a_powers) == len(even.coupling.a_powers)


@pytest.mark.parametrize("zero", ["c", "d", "both"])
def test_if_c_or_d_is_zero_the_result_is_the_inverse_of_the_other_product(zero):
    (a, b, x, y), _ = small(2, 3)
    inverse, v = doubled(a, b, x * (zero == "d"), y * (zero == "c")), normal(5, 4, seed=9)
    torch.testing.assert_close(inverse.multiply(v), torch.linalg.inv(b) @ v @ torch.linalg.inv(a))
    assert not inverse.coupling.a_powers


# --- in the block-tridiagonal inverse ------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("gamma", [0.01, 1.0, 150.0])
def test_the_block_tridiagonal_inverse_by_doubling_equals_the_dense_product(architecture, gamma):
    stats = oracles.statistics(*problem(architecture, cases=40))
    matrix = oracles.approximate_fisher("block_tridiagonal", stats, gamma)
    fallbacks, v = Fallbacks(), oracles.some_vector(len(matrix))
    inverse = BlockTridiagonalInverse(
        oracles.tridiagonal(stats, KroneckerFactors),
        gamma,
        sigma_solver="doubling",
        fallbacks=fallbacks,
    )
    product = oracles.vec(inverse.multiply(oracles.unvec(v, architecture.layer_sizes)))
    assert oracles.relative_error(product, torch.linalg.solve(matrix, v)) < 1e-9
    assert all(isinstance(each, DoublingCoupling) for each in inverse.couplings)
    assert fallbacks == Fallbacks()


@pytest.mark.parametrize("gamma", [1e-2, 1e-4, 1e-6, 1e-8])
def test_both_solvers_agree_at_every_gamma_with_a_fallback_at_small_ones(gamma):
    """One case: neighbouring layers determine each other, and 1 - s1 s2 shrinks with gamma."""
    architecture = every_architecture()[0]
    stats = oracles.statistics(*problem(architecture, cases=1))
    factors = oracles.tridiagonal(stats, KroneckerFactors)
    fallbacks = Fallbacks()
    vectors = oracles.unvec(oracles.some_vector(25), architecture.layer_sizes)
    products = [
        oracles.vec(
            BlockTridiagonalInverse(
                factors, gamma, sigma_solver=solver, fallbacks=fallbacks
            ).multiply(vectors)
        )
        for solver in ("doubling", "decomposition")
    ]
    assert oracles.relative_error(*products) < 1e-11 / gamma
    assert (fallbacks.unconverged_doublings > 0) == (gamma < 1e-5)
