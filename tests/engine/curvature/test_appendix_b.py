"""Appendix B: (A (x) B +- C (x) D)^-1 by decompositions, for every kind of A, B, C and D."""

import logging

import pytest
import torch

from engine import oracles
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.kronecker import (
    DiagonalizedInverse,
    KroneckerSumInverse,
    inverse_root,
)

FLOAT64_EPS = torch.finfo(torch.float64).eps
ROWS, COLUMNS = 5, 4  # of B, D and of A, C


def normal(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def orthogonal(size, seed):
    return torch.linalg.qr(normal(size, size, seed=seed)).Q


def semidefinite(size, rank, seed):
    root = normal(size, rank, seed=seed)
    return root @ root.T


def with_condition(size, condition, seed):
    """Symmetric, its eigenvalues spread evenly on a log scale over 1/condition ... 1."""
    basis = orthogonal(size, seed)
    values = torch.logspace(0, -torch.tensor(condition).log10().item(), size, dtype=torch.float64)
    return basis * values @ basis.T


def dense(a, b, c, d, sign):
    return torch.kron(a, b) + sign * torch.kron(c, d)


def error(inverse, matrix, v):
    """Relative error of a product, against a dense solution."""
    expected = torch.linalg.solve(matrix, oracles.vec([v]))
    return oracles.relative_error(oracles.vec([inverse.multiply(v)]), expected)


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
    """The oracle is a dense solution. The differences are indefinite, which is no obstacle."""
    sizes = (COLUMNS, ROWS, COLUMNS, ROWS)
    a, b, c, d = (
        semidefinite(size, rank, seed=seed)
        for seed, (size, rank) in enumerate(zip(sizes, ranks, strict=True))
    )
    matrix = dense(a, b, c, d, sign)
    inverse = DiagonalizedInverse.of_sum(a, b, c, d, sign)
    assert error(inverse, matrix, normal(ROWS, COLUMNS, seed=9)) < 1e-10


def test_how_a_product_is_split_between_its_factors_makes_no_difference():
    a, b, c, d = (with_condition(n, 10.0, seed=s) for s, n in enumerate((4, 5, 4, 5)))
    v = normal(5, 4, seed=9)
    torch.testing.assert_close(
        DiagonalizedInverse.of_sum(1e12 * a, 1e-12 * b, 1e-9 * c, 1e9 * d, 1).multiply(v),
        DiagonalizedInverse.of_sum(a, b, c, d, 1).multiply(v),
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize("condition", [1e4, 1e8, 1e12])
def test_an_ill_conditioned_a_costs_no_digits_where_c_fills_in(condition):
    """What A + C buys over the appendix's A^(-1/2), whose error grows with cond(A)."""
    a, b = with_condition(4, condition, seed=1), with_condition(5, condition, seed=2)
    x, y = (torch.linalg.cholesky(with_condition(n, 10.0, seed=3)) for n in (4, 5))
    matrix, v = dense(a, b, x @ x.T, y @ y.T, 1), normal(5, 4, seed=9)
    roots = KroneckerSumInverse(inverse_root(a), inverse_root(b), x, y, 1, torch.float64)
    assert error(DiagonalizedInverse.of_sum(a, b, x @ x.T, y @ y.T, 1), matrix, v) < 1e-12
    assert error(roots, matrix, v) > 1e-16 * condition


@pytest.mark.parametrize("sign", [1, -1])
def test_where_a_and_b_are_well_conditioned_both_forms_are_equally_accurate(sign):
    a, b = with_condition(4, 10.0, seed=1), with_condition(5, 10.0, seed=2)
    x, y = 0.05 * normal(4, 3, seed=3), 0.05 * normal(5, 2, seed=4)
    matrix, v = dense(a, b, x @ x.T, y @ y.T, sign), normal(5, 4, seed=9)
    roots = KroneckerSumInverse(inverse_root(a), inverse_root(b), x, y, sign, torch.float64)
    assert error(roots, matrix, v) < 1e-13
    assert error(DiagonalizedInverse.of_sum(a, b, x @ x.T, y @ y.T, sign), matrix, v) < 1e-13


def test_a_vector_that_a_and_c_both_map_to_0_makes_the_sum_singular_and_is_counted(caplog):
    a = torch.diag(torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64))
    b = torch.eye(2, dtype=torch.float64)
    fallbacks = Fallbacks()
    with caplog.at_level(logging.WARNING):
        inverse = DiagonalizedInverse.of_sum(a, b, a, b, 1, fallbacks)
    assert fallbacks.clipped_factors == 1
    assert "not positive definite" in caplog.text
    v = normal(2, 3, seed=1)
    product = inverse.multiply(v)
    torch.testing.assert_close(product[:, :2], v[:, :2] / torch.tensor([2.0, 4.0]).double())
    assert torch.isfinite(product).all()


def test_eigenvalues_that_cancel_are_kept_away_from_0_with_their_sign_and_counted():
    """diag(1, 2) (x) I - I (x) I has the eigenvalue 0 twice and 1 twice."""
    eye, fallbacks = torch.eye(2, dtype=torch.float64), Fallbacks()
    a = torch.diag(torch.tensor([1.0, 2.0], dtype=torch.float64))
    inverse = DiagonalizedInverse.of_sum(a, eye, eye, eye, -1, fallbacks)
    assert fallbacks.clipped_sums == 1
    product = inverse.multiply(torch.ones_like(eye))
    torch.testing.assert_close(product[:, 1], torch.ones(2, dtype=torch.float64))
    assert (product[:, 0].abs() > 1e12).all() and torch.isfinite(product).all()


# --- the special case xi I -----------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("xi", [1e-3, 7.0])
@pytest.mark.parametrize("ranks", [(4, 5), (1, 3), (0, 5)])
def test_the_inverse_of_a_multiple_of_the_identity_and_a_product(ranks, xi, sign):
    c, d = (semidefinite(n, rank, seed=n) for n, rank in zip((4, 5), ranks, strict=True))
    matrix = xi * torch.eye(20, dtype=torch.float64) + sign * torch.kron(c, d)
    inverse = DiagonalizedInverse.of_shifted_product(xi, c, d, sign)
    assert error(inverse, matrix, normal(5, 4, seed=9)) < 1e-10


def test_the_special_case_is_one_of_the_general_case():
    c, d, v = semidefinite(4, 3, seed=1), semidefinite(5, 2, seed=2), normal(5, 4, seed=9)
    eye_a, eye_b = (torch.eye(n, dtype=torch.float64) for n in (4, 5))
    torch.testing.assert_close(
        DiagonalizedInverse.of_shifted_product(0.6, c, d, 1).multiply(v),
        DiagonalizedInverse.of_sum(2 * eye_a, 0.3 * eye_b, c, d, 1).multiply(v),
    )


def test_no_shift_and_a_singular_product_is_clipped_and_counted():
    c, d, fallbacks = semidefinite(4, 2, seed=1), semidefinite(5, 5, seed=2), Fallbacks()
    inverse = DiagonalizedInverse.of_shifted_product(0.0, c, d, 1, fallbacks)
    assert fallbacks.clipped_sums == 1
    assert torch.isfinite(inverse.multiply(normal(5, 4, seed=9))).all()


# --- A and B definite: the economical form -------------------------------------------------------


def touching(condition, gap, seed=1):
    """A, B, X, Y and V with 1 - s1 s2 = gap at its smallest, and (A (x) B - C (x) D)^-1 vec(V).

    A = L L^T and C = L Q diag(s) Q^T L^T, so that the spectrum is known and with it the answer.
    """
    (l1, q1, s1), (l2, q2, s2) = (
        (
            torch.linalg.cholesky(with_condition(n, condition, seed=seed + n)),
            orthogonal(n, seed=seed + n + 10),
            torch.linspace(1, 0, n, dtype=torch.float64) * (1 - gap) ** 0.5,
        )
        for n in (COLUMNS, ROWS)
    )
    v = normal(ROWS, COLUMNS, seed=seed + 20)
    k1, k2 = (torch.linalg.solve_triangular(m.T, q, upper=True) for m, q in ((l1, q1), (l2, q2)))
    answer = k2 @ ((k2.T @ v @ k1) / (1 - torch.outer(s2, s1))) @ k1.T
    return l1 @ l1.T, l2 @ l2.T, l1 @ q1 * s1.sqrt(), l2 @ q2 * s2.sqrt(), v, answer


@pytest.mark.parametrize("condition", [1.0, 1e4])
@pytest.mark.parametrize("gap", [0.5, 1e-2, 1e-4, 1e-6, 1e-8])
def test_the_error_grows_as_the_condition_over_1_minus_s1_s2(condition, gap):
    a, b, x, y, v, answer = touching(condition, gap)
    fallbacks = Fallbacks()
    roots = (inverse_root(a), inverse_root(b), x, y, -1)
    double = KroneckerSumInverse(*roots, torch.float64, fallbacks).multiply(v)
    single = KroneckerSumInverse(*roots, torch.float32, fallbacks).multiply(v.float())
    allowed = 10 * FLOAT64_EPS * condition / gap
    assert oracles.relative_error(double, answer) < allowed
    assert oracles.relative_error(single.double(), answer) < allowed + 1e-6  # eps of float32: 1e-7
    assert fallbacks == Fallbacks()


@pytest.mark.parametrize("gap", [1e-13, -1e-6])
def test_a_smaller_gap_than_1e_10_is_clipped_and_counted_once_for_the_matrix(gap, caplog):
    """So is a negative one, which rounding may leave of a matrix that is positive definite."""
    a, b, x, y, v, _ = touching(1.0, gap)
    fallbacks = Fallbacks()
    roots = (inverse_root(a), inverse_root(b), x, y, -1)
    with caplog.at_level(logging.WARNING):
        product = KroneckerSumInverse(*roots, torch.float64, fallbacks).multiply(v)
    assert fallbacks == Fallbacks(clipped_sums=1)
    assert "clipped at 1e-10" in caplog.text
    assert 0 < (v * product).sum() < 1.001e10 * (v * v).sum()


@pytest.mark.parametrize("sign", [0, 2, -2])
def test_a_sign_is_1_or_minus_1(sign):
    eye = torch.eye(2, dtype=torch.float64)
    with pytest.raises(ValueError, match="sign="):
        DiagonalizedInverse.of_sum(eye, eye, eye, eye, sign)
    with pytest.raises(ValueError, match="sign="):
        DiagonalizedInverse.of_shifted_product(1.0, eye, eye, sign)


def test_products_have_the_dtype_of_the_factors_and_matrices_are_left_alone():
    matrices = [semidefinite(n, n, seed=n).float() for n in (4, 5)] * 2
    v = normal(5, 4, seed=9).float()
    held = [*matrices, v]
    before = [m.clone() for m in held]
    assert DiagonalizedInverse.of_sum(*matrices, 1).multiply(v).dtype == torch.float32
    assert all(torch.equal(m, n) for m, n in zip(held, before, strict=True))
