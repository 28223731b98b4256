"""F-hat^-1 of section 4.3 against the dense matrix of its definition."""

import pytest
import torch

from engine import oracles
from engine.oracles import ODD_ARCHITECTURES, Architecture, every_architecture, problem
from kfac_cli.engine import BlockDiagonalInverse, BlockTridiagonalInverse, KroneckerFactors

EVERY = pytest.mark.parametrize("architecture", every_architecture() + ODD_ARCHITECTURES, ids=str)
MANY, FEW = 40, 2  # with few cases, factors of three or more units are singular
CHAIN = Architecture((3, 2, 3, 2), ("tanh", "logistic"), "bernoulli")


def inverse_for(stats, gamma):
    return BlockTridiagonalInverse(oracles.tridiagonal(stats, KroneckerFactors), gamma)


def multiplied(inverse, vector, layer_sizes):
    return oracles.vec(inverse.multiply(oracles.unvec(vector, layer_sizes)))


@EVERY
@pytest.mark.parametrize("cases", [MANY, FEW])
@pytest.mark.parametrize("gamma", [0.01, 1.0, 150.0])
def test_multiply_equals_the_dense_product(architecture, cases, gamma):
    stats = oracles.statistics(*problem(architecture, cases))
    dense = oracles.approximate_fisher("block_tridiagonal", stats, gamma)
    v = oracles.some_vector(len(dense))
    product = multiplied(inverse_for(stats, gamma), v, architecture.layer_sizes)
    assert oracles.relative_error(product, torch.linalg.solve(dense, v)) < 1e-9


@EVERY
def test_multiply_is_exact_up_to_conditioning_at_a_tiny_gamma(architecture):
    stats = oracles.statistics(*problem(architecture, FEW))
    dense = oracles.approximate_fisher("block_tridiagonal", stats, 1e-4)
    v = oracles.some_vector(len(dense))
    product = multiplied(inverse_for(stats, 1e-4), v, architecture.layer_sizes)
    allowed = 10 * torch.finfo(torch.float64).eps * torch.linalg.cond(dense)
    assert oracles.relative_error(product, torch.linalg.solve(dense, v)) < allowed < 1e-3


@EVERY
def test_f_hat_has_f_tildes_tridiagonal_blocks_and_a_block_tridiagonal_inverse(architecture):
    """The definition, for the engine's products with all unit vectors."""
    stats = oracles.statistics(*problem(architecture, MANY))
    tilde = oracles.f_tilde(oracles.damped(stats, 0.3))
    inverse, units = inverse_for(stats, 0.3), torch.eye(len(tilde), dtype=torch.float64)
    sizes = architecture.layer_sizes
    matrix = torch.stack([multiplied(inverse, unit, sizes) for unit in units], dim=1)
    torch.testing.assert_close(matrix, matrix.T)
    hat, where = torch.linalg.inv(matrix), oracles.blocks(sizes)
    for i, row in enumerate(where):
        for j, column in enumerate(where):
            if abs(i - j) <= 1:
                torch.testing.assert_close(hat[row, column], tilde[row, column])
            else:
                assert not matrix[row, column].any()


def test_both_inverses_agree_for_a_single_layer():
    architecture = Architecture((3, 2), (), "gaussian")
    stats = oracles.statistics(*problem(architecture))
    factors = oracles.tridiagonal(stats, KroneckerFactors)
    vectors = oracles.unvec(oracles.some_vector(8), architecture.layer_sizes)
    torch.testing.assert_close(
        BlockTridiagonalInverse(factors, 0.2).multiply(vectors),
        BlockDiagonalInverse(factors, 0.2).multiply(vectors),
    )


def test_both_inverses_agree_if_neighbouring_layers_are_uncorrelated():
    stats = oracles.statistics(*problem(CHAIN))
    factors = oracles.tridiagonal(stats, KroneckerFactors)
    for matrix in factors.gradient_next:
        matrix.zero_()
    vectors = oracles.unvec(oracles.some_vector(25), CHAIN.layer_sizes)
    torch.testing.assert_close(
        BlockTridiagonalInverse(factors, 0.2).multiply(vectors),
        BlockDiagonalInverse(factors, 0.2).multiply(vectors),
    )


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_with_a_zero_gradient_factor_the_inverse_is_finite_and_positive_definite(dead):
    """All g of one layer are 0, and with them its blocks with the neighbouring layers."""
    stats = oracles.statistics(*problem(CHAIN))
    for j in range(3):
        stats.gradient[dead][j].zero_()
        stats.gradient[j][dead].zero_()
    v = oracles.some_vector(25)
    product = multiplied(inverse_for(stats, 1e-2), v, CHAIN.layer_sizes)
    assert torch.isfinite(product).all()
    assert v @ product > 0


@pytest.mark.parametrize("gamma", [1e-4, 1e-6])
def test_perfectly_correlated_layers_stay_finite_and_positive(gamma):
    """With a single case neighbouring layers determine each other: Sigma is damping only."""
    stats = oracles.statistics(*problem(CHAIN, cases=1))
    v = oracles.some_vector(25)
    product = multiplied(inverse_for(stats, gamma), v, CHAIN.layer_sizes)
    assert torch.isfinite(product).all()
    assert v @ product > 0
