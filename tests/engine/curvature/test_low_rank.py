"""Section 8's shortcut: F-breve^-1 times a gradient of few cases, without forming it."""

import math

import pytest
import torch

from kfac_cli.engine import BlockDiagonalInverse, KroneckerFactors
from kfac_cli.engine.curvature.block_diagonal import low_rank_is_cheaper
from kfac_cli.engine.curvature.factors import CaseFactors

SIZES = (7, 12, 4, 9)
MANY, FEW = 40, 2


def normal(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def second_moment(size, seed):
    """From different cases, since factors are averages over many mini-batches."""
    rows = normal(MANY, size, seed=seed)
    return rows.T @ rows / MANY


class Batch:
    """g and abar of m cases, their gradient with l2, and an inverse."""

    def __init__(self, cases, l2=0.0, dtype=torch.float64):
        self.homogeneous = [normal(cases, d + 1, seed=d).to(dtype) for d in SIZES[:-1]]
        self.gradients = [normal(cases, d, seed=10 + d).to(dtype) for d in SIZES[1:]]
        self.parameters = [
            normal(g.shape[1], a.shape[1], seed=20).to(dtype)
            for a, g in zip(self.homogeneous, self.gradients, strict=True)
        ]
        self.gradient = [
            g.T @ a / cases + l2 * p
            for a, g, p in zip(self.homogeneous, self.gradients, self.parameters, strict=True)
        ]
        factors = KroneckerFactors(
            [second_moment(a.shape[1], seed=30).to(dtype) for a in self.homogeneous],
            [second_moment(g.shape[1], seed=40).to(dtype) for g in self.gradients],
        )
        self.inverse = BlockDiagonalInverse(factors, 0.1)

    def shortcut(self):
        cases = CaseFactors(self.gradients, self.homogeneous)
        return self.inverse.multiply_gradient(self.gradient, cases)


@pytest.mark.parametrize("cases", [1, FEW, 5, 8, MANY])
@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_the_product_is_the_same_up_to_rounding(cases, dtype, allowed):
    batch = Batch(cases, dtype=dtype)
    for product, direct in zip(
        batch.shortcut(), batch.inverse.multiply(batch.gradient), strict=True
    ):
        assert product.dtype == dtype
        assert (product - direct).norm() < allowed * direct.norm()


def test_with_few_cases_the_gradient_is_not_used():
    batch = Batch(FEW)
    expected = batch.inverse.multiply(batch.gradient)
    batch.gradient = [torch.full_like(g, math.nan) for g in batch.gradient]
    for product, direct in zip(batch.shortcut(), expected, strict=True):
        torch.testing.assert_close(product, direct)


def test_with_many_cases_the_case_matrices_are_not_used():
    batch = Batch(MANY)
    batch.gradients = [torch.full_like(g, math.nan) for g in batch.gradients]
    for product, direct in zip(
        batch.shortcut(), batch.inverse.multiply(batch.gradient), strict=True
    ):
        assert torch.equal(product, direct)


def test_the_choice_is_made_for_each_layer():
    """5 cases are few for 12 x 8 weights and many for 4 x 13 ones."""
    batch = Batch(5)
    expected = batch.inverse.multiply(batch.gradient)
    batch.gradient[0] = torch.full_like(batch.gradient[0], math.nan)
    batch.gradients[1] = torch.full_like(batch.gradients[1], math.nan)
    for product, direct in zip(batch.shortcut(), expected, strict=True):
        torch.testing.assert_close(product, direct)


@pytest.mark.parametrize("rows", [1, 30, 1000])
@pytest.mark.parametrize("columns", [1, 31, 785])
@pytest.mark.parametrize("cases", [1, 20, 300, 5000])
def test_the_choice_minimises_the_number_of_multiplications(rows, columns, cases):
    """Counted product by product, a (p, q) times (q, r) product being p q r of them."""
    direct = rows * rows * columns + rows * columns * columns
    shortcut = rows * rows * cases + cases * columns * columns + rows * cases * columns
    assert low_rank_is_cheaper(cases, rows, columns) == (shortcut < direct)


def test_for_square_layers_of_width_d_the_limit_is_two_thirds_of_d_cases():
    assert low_rank_is_cheaper(599, 900, 900)
    assert not low_rank_is_cheaper(600, 900, 900)
