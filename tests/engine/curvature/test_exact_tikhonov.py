"""F-breve + gamma^2 I, eqn 6, against dense inverses."""

import math

import pytest
import torch

from engine import oracles
from engine.oracles import ODD_ARCHITECTURES, Architecture, every_architecture, problem
from kfac_cli.engine import KroneckerFactors
from kfac_cli.engine.curvature.exact_tikhonov import ExactTikhonovInverse
from kfac_cli.engine.curvature.fallbacks import Fallbacks

EVERY = pytest.mark.parametrize("architecture", every_architecture() + ODD_ARCHITECTURES, ids=str)
MANY, FEW = 40, 2  # with few cases, factors of three or more units are singular
CHAIN = Architecture((3, 2, 3, 2), ("tanh", "logistic"), "bernoulli")


def damped_fisher(stats, gamma):
    """The block diagonal of F-tilde plus gamma^2 I."""
    sizes = [len(stats.activation[0][0]) - 1, *(len(row[0]) for row in stats.gradient)]
    breve = oracles.f_breve(oracles.f_tilde(stats), oracles.blocks(sizes))
    return breve + gamma**2 * torch.eye(len(breve), dtype=breve.dtype)


def multiplied(stats, gamma, vector, layer_sizes, fallbacks=None):
    factors = oracles.tridiagonal(stats, KroneckerFactors)
    inverse = ExactTikhonovInverse(factors, gamma, fallbacks=fallbacks)
    return oracles.vec(inverse.multiply(oracles.unvec(vector, layer_sizes)))


@EVERY
@pytest.mark.parametrize("cases", [MANY, FEW])
@pytest.mark.parametrize("gamma", [1e-4, 0.01, 1.0, 150.0])
def test_multiply_equals_the_dense_product_up_to_conditioning(architecture, cases, gamma):
    stats = oracles.statistics(*problem(architecture, cases))
    dense = damped_fisher(stats, gamma)
    v, fallbacks = oracles.some_vector(len(dense)), Fallbacks()
    product = multiplied(stats, gamma, v, architecture.layer_sizes, fallbacks)
    allowed = 10 * torch.finfo(torch.float64).eps * torch.linalg.cond(dense)
    assert oracles.relative_error(product, torch.linalg.solve(dense, v)) < allowed < 0.1
    assert fallbacks == Fallbacks()


def test_factored_damping_differs_by_the_cross_terms_of_section_6_3():
    """Factored minus exact is pi gamma I (x) G + gamma/pi Abar (x) I, a positive matrix."""
    stats = oracles.statistics(*problem(CHAIN, MANY))
    gamma = 0.3
    factored = oracles.approximate_fisher("block_diagonal", stats, gamma)
    units = torch.eye(len(factored), dtype=torch.float64)
    exact_inverse = torch.stack(
        [multiplied(stats, gamma, unit, CHAIN.layer_sizes) for unit in units], dim=1
    )
    residual = factored - torch.linalg.inv(exact_inverse)
    block = oracles.blocks(CHAIN.layer_sizes)[1]
    a, g = stats.activation[1][1], stats.gradient[1][1]
    pi = math.sqrt(a.trace() / len(a) / (g.trace() / len(g)))
    eye_a, eye_g = (torch.eye(len(m), dtype=m.dtype) for m in (a, g))
    cross = pi * gamma * torch.kron(eye_a, g) + gamma / pi * torch.kron(a, eye_g)
    torch.testing.assert_close(residual[block, block], cross)
    assert torch.linalg.eigvalsh(symmetric(residual)).min() > 0


def symmetric(matrix):
    return (matrix + matrix.T) / 2


def test_neighbouring_blocks_are_not_needed():
    factors = oracles.tridiagonal(oracles.statistics(*problem(CHAIN)), KroneckerFactors)
    alone = KroneckerFactors(factors.activation, factors.gradient)
    vectors = oracles.unvec(oracles.some_vector(25), CHAIN.layer_sizes)
    products = (ExactTikhonovInverse(f, 0.5).multiply(vectors) for f in (factors, alone))
    assert all(torch.equal(a, b) for a, b in zip(*products, strict=True))


def test_with_a_zero_gradient_factor_only_the_damping_remains():
    """G_2 = 0: the block is gamma^2 I."""
    stats = oracles.statistics(*problem(CHAIN))
    stats.gradient[1][1].zero_()
    v = oracles.some_vector(25)
    product = multiplied(stats, 0.1, v, CHAIN.layer_sizes)
    block = oracles.blocks(CHAIN.layer_sizes)[1]
    torch.testing.assert_close(product[block], v[block] / 0.1**2)


def test_a_singular_factor_without_damping_is_counted_and_its_inverse_finite():
    stats = oracles.statistics(*problem(CHAIN, FEW))
    fallbacks = Fallbacks()
    product = multiplied(stats, 0.0, oracles.some_vector(25), CHAIN.layer_sizes, fallbacks)
    assert fallbacks.clipped_sums > 0
    assert torch.isfinite(product).all()


def test_a_factor_that_is_not_finite_is_refused():
    factors = oracles.tridiagonal(oracles.statistics(*problem(CHAIN)), KroneckerFactors)
    factors.gradient[1][0, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        ExactTikhonovInverse(factors, 0.5)


@pytest.mark.parametrize("gamma", [0.1, 0.003])
def test_float32_factors_give_float32_products_close_to_the_dense_ones(gamma):
    """With singular factors; the second gamma is its lower bound for l2 = 1e-5."""
    stats = oracles.statistics(*problem(CHAIN, FEW))
    factors = oracles.tridiagonal(stats, KroneckerFactors)
    single = KroneckerFactors(*([m.float() for m in ms] for ms in vars(factors).values()))
    v = oracles.some_vector(25)
    vectors = [w.float() for w in oracles.unvec(v, CHAIN.layer_sizes)]
    product = ExactTikhonovInverse(single, gamma).multiply(vectors)
    assert all(w.dtype == torch.float32 for w in product)
    dense = damped_fisher(stats, gamma)
    error = oracles.relative_error(oracles.vec(product).double(), torch.linalg.solve(dense, v))
    assert error < 1e-6 / gamma**2
