"""Appendix B: inverses of sums and differences of Kronecker products, and their factors."""

import logging

import pytest
import torch

from engine import oracles
from kfac_cli.engine.curvature.kronecker import KroneckerSumInverse, inverse_root

EYE = torch.eye(4, dtype=torch.float64)


def normal(rows, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64)


def positive_definite(size, seed):
    root = normal(size, size, seed)
    return root @ root.T + torch.eye(size, dtype=torch.float64)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("columns", [1, 3, 5])
def test_inverse_of_a_sum_of_kronecker_products(sign, columns):
    """(A (x) B +- C (x) D)^-1 vec(V), with C and D of lower, equal and higher rank than A and B."""
    a, b = positive_definite(3, seed=1), positive_definite(4, seed=2)
    x, y = 0.3 * normal(3, columns, seed=3), 0.3 * normal(4, columns, seed=4)
    inverse = KroneckerSumInverse(inverse_root(a), inverse_root(b), x, y, sign, torch.float64)
    dense = torch.kron(a, b) + sign * torch.kron(x @ x.T, y @ y.T)
    v = normal(4, 3, seed=5)
    expected = torch.linalg.solve(dense, oracles.vec([v]))
    torch.testing.assert_close(oracles.vec([inverse.multiply(v)]), expected)


def test_a_singular_difference_is_clipped_to_a_positive_definite_one():
    """With C = A and D = B the difference is 0, or less by rounding."""
    a, b = positive_definite(3, seed=1), positive_definite(4, seed=2)
    x, y = (torch.linalg.cholesky(m) * (1 + 1e-9) for m in (a, b))
    inverse = KroneckerSumInverse(inverse_root(a), inverse_root(b), x, y, -1, torch.float64)
    v = normal(4, 3, seed=5)
    product = inverse.multiply(v)
    assert torch.isfinite(product).all()
    assert (v * product).sum() > 0


def test_root_of_an_inverse():
    matrix = positive_definite(4, seed=6)
    root = inverse_root(matrix)
    torch.testing.assert_close(root @ root.T @ matrix, EYE)


def test_root_reads_a_matrix_as_symmetric():
    """Rounding makes running averages slightly asymmetric; both triangles are used."""
    matrix = positive_definite(4, seed=6)
    skew = 1e-3 * normal(4, 4, seed=7)
    root = inverse_root(matrix + skew - skew.T)
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
