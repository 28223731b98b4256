"""F-breve^-1 of section 4.2, with the factored Tikhonov damping of 6.3, against dense inverses."""

import pytest
import torch

from engine import oracles
from engine.oracles import ODD_ARCHITECTURES, Architecture, every_architecture, problem
from kfac_cli.engine import BlockDiagonalInverse, KroneckerFactors

EVERY = pytest.mark.parametrize("architecture", every_architecture() + ODD_ARCHITECTURES, ids=str)
MANY, FEW = 40, 2  # with few cases, factors of three or more units are singular
CHAIN = Architecture((3, 2, 3, 2), ("tanh", "logistic"), "bernoulli")


def multiplied(stats, gamma, vector, layer_sizes):
    inverse = BlockDiagonalInverse(oracles.tridiagonal(stats, KroneckerFactors), gamma)
    return oracles.vec(inverse.multiply(oracles.unvec(vector, layer_sizes)))


@EVERY
@pytest.mark.parametrize("cases", [MANY, FEW])
@pytest.mark.parametrize("gamma", [0.01, 1.0, 150.0])
def test_multiply_equals_the_dense_product(architecture, cases, gamma):
    stats = oracles.statistics(*problem(architecture, cases))
    dense = oracles.approximate_fisher("block_diagonal", stats, gamma)
    v = oracles.some_vector(len(dense))
    product = multiplied(stats, gamma, v, architecture.layer_sizes)
    assert oracles.relative_error(product, torch.linalg.solve(dense, v)) < 1e-9


@EVERY
def test_multiply_is_exact_up_to_conditioning_at_a_tiny_gamma(architecture):
    stats = oracles.statistics(*problem(architecture, FEW))
    dense = oracles.approximate_fisher("block_diagonal", stats, 1e-4)
    v = oracles.some_vector(len(dense))
    product = multiplied(stats, 1e-4, v, architecture.layer_sizes)
    allowed = 10 * torch.finfo(torch.float64).eps * torch.linalg.cond(dense)
    assert oracles.relative_error(product, torch.linalg.solve(dense, v)) < allowed < 1e-3


def test_neighbouring_blocks_are_not_needed():
    stats = oracles.statistics(*problem(CHAIN))
    factors = oracles.tridiagonal(stats, KroneckerFactors)
    alone = KroneckerFactors(factors.activation, factors.gradient)
    vectors = oracles.unvec(oracles.some_vector(25), CHAIN.layer_sizes)
    expected = BlockDiagonalInverse(factors, 0.5).multiply(vectors)
    assert all(
        torch.equal(a, b)
        for a, b in zip(BlockDiagonalInverse(alone, 0.5).multiply(vectors), expected, strict=True)
    )


def test_with_a_zero_gradient_factor_the_inverse_is_finite_and_positive_definite():
    """G_2 = 0, as if every unit of a layer is saturated or dead."""
    stats = oracles.statistics(*problem(CHAIN))
    stats.gradient[1][1].zero_()
    v = oracles.some_vector(25)
    product = multiplied(stats, 1e-2, v, CHAIN.layer_sizes)
    assert torch.isfinite(product).all()
    assert v @ product > 0
