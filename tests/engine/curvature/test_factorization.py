"""Roots of the inverses of factors, and appendix B's inverse of a difference of products."""

import logging

import pytest
import torch

from engine.curvature.appendix_b import DifferenceInverse, dense, error, inverse_root

EYE = torch.eye(4, dtype=torch.float64)


def normal(rows, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64)


def positive_definite(size, seed):
    root = normal(size, size, seed)
    return root @ root.T + torch.eye(size, dtype=torch.float64)


@pytest.mark.parametrize("c_columns", [1, 3, 5])
@pytest.mark.parametrize("d_columns", [1, 4, 6])
def test_inverse_of_a_difference_of_kronecker_products(c_columns, d_columns):
    """(A (x) B - C (x) D)^-1 vec(V), with C and D of lower, equal and higher rank than A and B."""
    a, b = positive_definite(3, seed=1), positive_definite(4, seed=2)
    x, y = 0.1 * normal(3, c_columns, seed=3), 0.1 * normal(4, d_columns, seed=4)
    matrix = dense(a, b, x @ x.T, y @ y.T, -1)
    assert error(DifferenceInverse(a, b, x, y), matrix, normal(4, 3, seed=5)) < 1e-12


def test_a_singular_difference_is_clipped_to_a_positive_definite_one():
    """With C = A and D = B the difference is 0, or less by rounding."""
    a, b = positive_definite(3, seed=1), positive_definite(4, seed=2)
    x, y = (torch.linalg.cholesky(m) * (1 + 1e-9) for m in (a, b))
    inverse = DifferenceInverse(a, b, x, y)
    v = normal(4, 3, seed=5)
    product = inverse.multiply(v)
    assert torch.isfinite(product).all()
    assert (v * product).sum() > 0


def test_root_of_an_inverse():
    matrix = positive_definite(4, seed=6)
    root = inverse_root(matrix)
    torch.testing.assert_close(root @ root.T @ matrix, EYE)


def test_an_indefinite_factor_is_clipped_and_logged(caplog):
    values = torch.tensor([2.0, 1.0, 0.5, -1e-3], dtype=torch.float64)
    basis = torch.linalg.qr(normal(4, 4, seed=8)).Q
    with caplog.at_level(logging.WARNING):
        root = inverse_root(basis * values @ basis.T)
    assert "not positive definite" in caplog.text
    exact, clipped = (basis.T @ root).split([3, 1])
    torch.testing.assert_close(
        exact @ exact.T, values[:3].reciprocal().diag(), rtol=1e-6, atol=1e-6
    )
    assert torch.isfinite(clipped).all() and clipped.any()


def test_a_factor_that_is_not_finite_is_refused():
    matrix = positive_definite(4, seed=6)
    matrix[1, 1] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        inverse_root(matrix)
