"""The couplings of neighbouring layers: the precision of their parts, and what candidates share."""

from itertools import pairwise

import pytest
import torch

from engine import oracles
from engine.oracles import Architecture, problem
from kfac_cli.engine import BlockDiagonalInverse, BlockTridiagonalInverse, KroneckerFactors
from kfac_cli.engine.curvature import canonical, tikhonov
from kfac_cli.engine.curvature.registry import make_curvature
from kfac_cli.engine.curvature.sandwich import sandwich
from kfac_cli.engine.options.kfac import KFACOptions

CHAIN = Architecture((3, 2, 3, 2), ("tanh", "logistic"), "bernoulli")
FLOAT32_EPS = torch.finfo(torch.float32).eps


def factors(cases=40, dtype=torch.float64):
    """Rounded to float32, so that they are the same in both dtypes."""
    exact = oracles.tridiagonal(oracles.statistics(*problem(CHAIN, cases)), KroneckerFactors)
    return KroneckerFactors(*([m.float().to(dtype) for m in ms] for ms in vars(exact).values()))


def f_hat(gamma, cases):
    """F-hat of these factors, dense."""
    given = factors(cases)
    stats = oracles.statistics(*problem(CHAIN, cases))
    for i in range(3):
        stats.activation[i][i], stats.gradient[i][i] = given.activation[i], given.gradient[i]
    for i in range(2):
        stats.activation[i][i + 1] = given.activation_next[i]
        stats.activation[i + 1][i] = given.activation_next[i].T
        stats.gradient[i][i + 1] = given.gradient_next[i]
        stats.gradient[i + 1][i] = given.gradient_next[i].T
    return oracles.approximate_fisher("block_tridiagonal", stats, gamma)


@pytest.fixture
def decompositions(monkeypatch):
    """The dtypes of the eigendecompositions that are computed."""
    dtypes, original = [], torch.linalg.eigh

    def counted(matrix):
        dtypes.append(matrix.dtype)
        return original(matrix)

    monkeypatch.setattr(torch.linalg, "eigh", counted)
    return dtypes


# --- precision -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cases", [40, 2])
@pytest.mark.parametrize("gamma", [1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
def test_in_float32_the_inverse_is_as_accurate_as_its_products_with_vectors(gamma, cases):
    """In units of eps: no digit is lost to the condition of F-hat, which is up to 1e9 here."""
    dense = f_hat(gamma, cases)
    v = oracles.some_vector(len(dense))
    expected = torch.linalg.solve(dense, v)
    inverse = BlockTridiagonalInverse(factors(cases, torch.float32), gamma)
    product = oracles.vec(
        inverse.multiply([w.float() for w in oracles.unvec(v, CHAIN.layer_sizes)])
    )
    assert oracles.relative_error(product.double(), expected) < 100 * FLOAT32_EPS


def test_float32_couplings_are_decomposed_in_float32(decompositions):
    BlockTridiagonalInverse(factors(dtype=torch.float32), 1.0)
    assert decompositions == 4 * [torch.float32]


def test_float64_couplings_are_decomposed_in_float64(decompositions):
    BlockTridiagonalInverse(factors(), 1.0)
    assert decompositions == 4 * [torch.float64]


def test_pairs_whose_sigma_is_nearly_singular_are_decomposed_in_float64(decompositions):
    """With one case, neighbouring layers determine each other: 1 - s1 s2 is of the order gamma."""
    BlockTridiagonalInverse(factors(cases=1, dtype=torch.float32), 1e-7)
    assert decompositions == 4 * [torch.float32] + 4 * [torch.float64]


def test_a_float32_decomposition_that_fails_is_made_in_float64(monkeypatch):
    original = torch.linalg.eigh

    def failing(matrix):
        if matrix.dtype == torch.float32:
            raise torch.linalg.LinAlgError("does not converge")
        return original(matrix)

    expected = BlockTridiagonalInverse(factors(dtype=torch.float32), 0.1)
    monkeypatch.setattr(torch.linalg, "eigh", failing)
    inverse = BlockTridiagonalInverse(factors(dtype=torch.float32), 0.1)
    v = [w.float() for w in oracles.unvec(oracles.some_vector(25), CHAIN.layer_sizes)]
    for product, other in zip(inverse.multiply(v), expected.multiply(v), strict=True):
        torch.testing.assert_close(product, other)


def test_a_float64_decomposition_that_fails_raises_its_error(monkeypatch):
    def failing(matrix):
        raise torch.linalg.LinAlgError("does not converge")

    monkeypatch.setattr(torch.linalg, "eigh", failing)
    with pytest.raises(torch.linalg.LinAlgError, match="does not converge"):
        BlockTridiagonalInverse(factors(dtype=torch.float32), 0.1)


def test_eigenvalues_are_more_accurate_than_float32_eigenvectors():
    """Rayleigh quotients: of T with known singular values, in float32's eigenbasis."""
    generator = torch.Generator().manual_seed(0)
    left, right = (
        torch.linalg.qr(torch.randn(n, 30, generator=generator, dtype=torch.float64)).Q
        for n in (40, 30)
    )
    known = torch.linspace(0, 0.999, 30, dtype=torch.float64)
    side = canonical.Whitened(left * known @ right.T, Identity(), Identity())
    values = canonical.Spectrum.of(side, torch.float32).values
    assert (values.sort().values - known**2).abs().max() < 1e-11


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
def test_correlations_below_the_resolution_are_zero(dtype, shape):
    """They change no product, and the subnormal numbers that they lead to are slow on a CPU."""
    eps = torch.finfo(dtype).eps
    matrix = torch.zeros(shape, dtype=torch.float64)
    matrix.diagonal().copy_(torch.tensor([0.9, 10 * eps, eps / 10, 1e-25], dtype=torch.float64))
    spectrum = canonical.Spectrum.of(canonical.Whitened(matrix, Identity(), Identity()), dtype)
    order = spectrum.values.argsort(descending=True)
    assert torch.allclose(
        spectrum.values[order],
        torch.tensor([0.81, 100 * eps**2, 0, 0], dtype=torch.float64),
        rtol=1e-6,
        atol=0,
    )
    for root in (spectrum.here, spectrum.above):
        assert not root[:, order[2:]].any()
        assert root[:, order[:2]].any(dim=0).all()


class Identity:
    """A factorisation of I."""

    def root(self, matrix):
        return matrix


# --- what the candidates of a refresh share ------------------------------------------------------


@pytest.mark.parametrize("inverse", ["block_diagonal", "block_tridiagonal"])
def test_candidates_share_pi_and_each_equals_the_inverse_made_alone(inverse, monkeypatch):
    sizes, original = [], tikhonov.PI_RULES["spectral"]

    def counted(matrix):
        sizes.append(matrix)
        return original(matrix)

    monkeypatch.setitem(tikhonov.PI_RULES, "spectral", counted)
    curvature = make_curvature(KFACOptions(inverse=inverse, pi="spectral", tikhonov="factored"))
    curvature.update(factors(), 1)
    together = curvature.inverses([0.5, 0.1, 0.02])
    assert len(sizes) == 6  # Abar and G of three layers
    vectors = oracles.unvec(oracles.some_vector(25), CHAIN.layer_sizes)
    for gamma, one in zip([0.5, 0.1, 0.02], together, strict=True):
        [alone] = curvature.inverses([gamma])
        for a, b in zip(one.multiply(vectors), alone.multiply(vectors), strict=True):
            assert torch.equal(a, b)


def test_candidates_with_exact_tikhonov_damping_share_the_eigendecompositions(decompositions):
    """They are those of the undamped factors: one for Abar and G of each layer."""
    curvature = make_curvature(KFACOptions(inverse="block_diagonal", tikhonov="exact"))
    curvature.update(factors(), 1)
    curvature.inverses([0.5, 0.1, 0.02])
    assert len(decompositions) == 6


@pytest.mark.parametrize("kind", [BlockDiagonalInverse, BlockTridiagonalInverse])
def test_a_factor_that_rounding_made_asymmetric_is_read_as_symmetric(kind):
    given, skewed = factors(), factors()
    for matrix in (*skewed.activation, *skewed.gradient):
        skew = 1e-3 * torch.ones_like(matrix).triu(1)
        matrix += skew - skew.T
    vectors = oracles.unvec(oracles.some_vector(25), CHAIN.layer_sizes)
    for a, b in zip(
        kind(skewed, 0.1).multiply(vectors), kind(given, 0.1).multiply(vectors), strict=True
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (7, 5, 3, 2), (7, 2, 7, 2), (2, 7, 2, 7)])
def test_a_product_of_three_matrices_in_either_order(shape):
    generator = torch.Generator().manual_seed(0)
    left, middle, right = (
        torch.randn(n, m, generator=generator, dtype=torch.float64) for n, m in pairwise(shape)
    )
    torch.testing.assert_close(sandwich(left, middle, right), left @ middle @ right)
