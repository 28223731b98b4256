"""Appendix B: (A (x) B +- C (x) D)^-1 by decompositions, for every kind of A, B, C and D.

`SumInverse` is the general formula; the engine has the forms that it needs.
"""

import logging

import pytest
import torch

from engine import oracles
from engine.curvature.appendix_b import (
    COLUMNS,
    FLOAT64_EPS,
    ROWS,
    DifferenceInverse,
    SumInverse,
    dense,
    error,
    nearly_singular,
    normal,
    semidefinite,
    with_condition,
)
from kfac_cli.engine.curvature.eigenbasis import eigenbases
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.kronecker import DiagonalizedInverse

# --- any positive semi-definite A, B, C, D -------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    "ranks",
    [
        (COLUMNS, ROWS, COLUMNS, ROWS),
        (COLUMNS, ROWS, 1, 2),  # C and D of low rank
        (COLUMNS, ROWS, 0, ROWS),  # C = 0
        (1, ROWS, COLUMNS, ROWS),  # A singular: no A^(-1/2)
        (COLUMNS, 2, COLUMNS, ROWS),  # B singular
        (1, 2, COLUMNS, ROWS),  # A and B singular
        (0, 0, COLUMNS, ROWS),  # A = B = 0
        (2, ROWS, 2, ROWS),  # A and C singular, A + C is not
        (COLUMNS, 3, COLUMNS, 4),  # B and D singular, B + D is not
    ],
)
def test_the_inverse_of_a_sum_of_semidefinite_kronecker_products(ranks, sign):
    """Against a dense solution. The differences are indefinite."""
    sizes = (COLUMNS, ROWS, COLUMNS, ROWS)
    a, b, c, d = (
        semidefinite(size, rank, seed=seed)
        for seed, (size, rank) in enumerate(zip(sizes, ranks, strict=True))
    )
    matrix = dense(a, b, c, d, sign)
    inverse = SumInverse(a, b, c, d, sign)
    assert error(inverse, matrix, normal(ROWS, COLUMNS, seed=9)) < 1e-10


def test_the_scaling_of_the_factors_of_a_product_makes_no_difference():
    a, b, c, d = (with_condition(n, 10.0, seed=s) for s, n in enumerate((4, 5, 4, 5)))
    v = normal(5, 4, seed=9)
    torch.testing.assert_close(
        SumInverse(1e12 * a, 1e-12 * b, 1e-9 * c, 1e9 * d, 1).multiply(v),
        SumInverse(a, b, c, d, 1).multiply(v),
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize("condition", [1e4, 1e8, 1e12])
def test_an_ill_conditioned_a_costs_no_accuracy_if_a_plus_c_is_well_conditioned(condition):
    """The advantage of A + C over the appendix's A^(-1/2), whose error grows with cond(A)."""
    a, b = with_condition(4, condition, seed=1), with_condition(5, condition, seed=2)
    x, y = (torch.linalg.cholesky(with_condition(n, 10.0, seed=3)) for n in (4, 5))
    matrix, v = dense(a, b, x @ x.T, y @ y.T, 1), normal(5, 4, seed=9)
    assert error(SumInverse(a, b, x @ x.T, y @ y.T, 1), matrix, v) < 1e-12


def test_if_a_and_b_are_well_conditioned_both_forms_are_accurate():
    a, b = with_condition(4, 10.0, seed=1), with_condition(5, 10.0, seed=2)
    x, y = 0.05 * normal(4, 3, seed=3), 0.05 * normal(5, 2, seed=4)
    matrix, v = dense(a, b, x @ x.T, y @ y.T, -1), normal(5, 4, seed=9)
    assert error(DifferenceInverse(a, b, x, y), matrix, v) < 1e-13
    assert error(SumInverse(a, b, x @ x.T, y @ y.T, -1), matrix, v) < 1e-13


def test_a_vector_that_a_and_c_both_map_to_0_makes_the_sum_singular_and_is_counted(caplog):
    a = torch.diag(torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64))
    b = torch.eye(2, dtype=torch.float64)
    fallbacks = Fallbacks()
    with caplog.at_level(logging.WARNING):
        inverse = SumInverse(a, b, a, b, 1, fallbacks)
    assert fallbacks.clipped_factors == 1
    assert "not positive definite" in caplog.text
    v = normal(2, 3, seed=1)
    product = inverse.multiply(v)
    torch.testing.assert_close(product[:, :2], v[:, :2] / torch.tensor([2.0, 4.0]).double())
    assert torch.isfinite(product).all()


def test_eigenvalues_that_cancel_are_clipped_away_from_0_and_counted():
    """diag(1, 2) (x) I - I (x) I has the eigenvalue 0 twice and 1 twice."""
    eye, fallbacks = torch.eye(2, dtype=torch.float64), Fallbacks()
    a = torch.diag(torch.tensor([1.0, 2.0], dtype=torch.float64))
    inverse = SumInverse(a, eye, eye, eye, -1, fallbacks)
    assert fallbacks.clipped_sums == 1
    product = inverse.multiply(torch.ones_like(eye))
    torch.testing.assert_close(product[:, 1], torch.ones(2, dtype=torch.float64))
    assert (product[:, 0].abs() > 1e12).all() and torch.isfinite(product).all()


def diagonalized(xi, c, d, fallbacks=None):
    return DiagonalizedInverse(xi, *eigenbases([c, d]), c.dtype, fallbacks)


# --- the special case xi I -----------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("xi", [1e-3, 7.0])
@pytest.mark.parametrize("ranks", [(4, 5), (1, 3), (0, 5)])
def test_the_inverse_of_a_multiple_of_the_identity_and_a_product(ranks, xi, sign):
    """The engine needs the sum only."""
    c, d = (semidefinite(n, rank, seed=n) for n, rank in zip((4, 5), ranks, strict=True))
    eye_a, eye_b = (torch.eye(n, dtype=torch.float64) for n in (4, 5))
    matrix = dense(xi * eye_a, eye_b, c, d, sign)
    inverse = diagonalized(xi, c, d) if sign == 1 else SumInverse(xi * eye_a, eye_b, c, d, sign)
    assert error(inverse, matrix, normal(5, 4, seed=9)) < 1e-10


def test_the_special_case_agrees_with_the_general_formula():
    c, d, v = semidefinite(4, 3, seed=1), semidefinite(5, 2, seed=2), normal(5, 4, seed=9)
    eye_a, eye_b = (torch.eye(n, dtype=torch.float64) for n in (4, 5))
    torch.testing.assert_close(
        diagonalized(0.6, c, d).multiply(v),
        SumInverse(2 * eye_a, 0.3 * eye_b, c, d, 1).multiply(v),
    )


def test_no_shift_and_a_singular_product_is_clipped_and_counted():
    c, d, fallbacks = semidefinite(4, 2, seed=1), semidefinite(5, 5, seed=2), Fallbacks()
    inverse = diagonalized(0.0, c, d, fallbacks)
    assert fallbacks.clipped_sums == 1
    assert torch.isfinite(inverse.multiply(normal(5, 4, seed=9))).all()


def test_products_have_the_dtype_of_the_factors_and_matrices_are_not_modified():
    matrices = [semidefinite(n, n, seed=n).float() for n in (4, 5)]
    v = normal(5, 4, seed=9).float()
    arguments = [*matrices, v]
    before = [m.clone() for m in arguments]
    assert diagonalized(1.0, *matrices).multiply(v).dtype == torch.float32
    assert all(torch.equal(m, n) for m, n in zip(arguments, before, strict=True))


# --- A and B positive definite: the cheaper form -------------------------------------------------


@pytest.mark.parametrize("condition", [1.0, 1e4])
@pytest.mark.parametrize("gap", [0.5, 1e-2, 1e-4, 1e-6, 1e-8])
def test_the_error_grows_as_the_condition_over_1_minus_s1_s2(condition, gap):
    a, b, x, y, v, answer = nearly_singular(condition, gap)
    fallbacks = Fallbacks()
    double = DifferenceInverse(a, b, x, y, torch.float64, fallbacks).multiply(v)
    single = DifferenceInverse(a, b, x, y, torch.float32, fallbacks).multiply(v.float())
    allowed = 10 * FLOAT64_EPS * condition / gap
    assert oracles.relative_error(double, answer) < allowed
    assert oracles.relative_error(single.double(), answer) < allowed + 1e-6  # eps of float32: 1e-7
    assert fallbacks == Fallbacks()


@pytest.mark.parametrize("gap", [1e-13, -1e-6])
def test_a_smaller_gap_than_1e_10_is_clipped_and_counted_once_for_the_matrix(gap, caplog):
    """So is a negative one, which rounding may produce from a positive definite matrix."""
    a, b, x, y, v, _ = nearly_singular(1.0, gap)
    fallbacks = Fallbacks()
    with caplog.at_level(logging.WARNING):
        product = DifferenceInverse(a, b, x, y, torch.float64, fallbacks).multiply(v)
    assert fallbacks == Fallbacks(clipped_sums=1)
    assert "clipped at 1e-10" in caplog.text
    assert 0 < (v * product).sum() < 1.001e10 * (v * v).sum()
