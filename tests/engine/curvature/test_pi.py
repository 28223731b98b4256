"""pi_i of section 6.3 against norms of dense Kronecker products."""

import math

import pytest
import torch

from engine import oracles
from engine.oracles import Architecture, Statistics, problem
from kfac_cli.engine import BlockDiagonalInverse, BlockTridiagonalInverse, KroneckerFactors
from kfac_cli.engine.curvature.tikhonov import PI_RULES, balance, factored_tikhonov

CHAIN = Architecture((3, 2, 3, 2), ("tanh", "logistic"), "bernoulli")
NORMS = {"trace": "nuc", "frobenius": "fro", "spectral": 2}  # torch's names
EACH_NORM = pytest.mark.parametrize(("rule", "norm"), NORMS.items(), ids=NORMS.keys())
EACH_RULE = pytest.mark.parametrize("rule", PI_RULES)


def semidefinite(size, rank, seed):
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(size, rank, generator=generator, dtype=torch.float64)
    return root @ root.T


def factors():
    """Abar, G, Abar (x) I and I (x) G: a wide layer over a narrow one, not of full rank."""
    a, g = semidefinite(3, 2, seed=1), 1e-3 * semidefinite(5, 4, seed=2)
    eye_a, eye_g = (torch.eye(n, dtype=torch.float64) for n in (3, 5))
    return a, g, torch.kron(a, eye_g), torch.kron(eye_a, g)


def pi_of(a, g, rule):
    [pi] = balance(KroneckerFactors([a], [g]), rule)
    return float(pi)


@EACH_NORM
def test_pi_is_the_root_of_the_ratio_of_the_norms_of_kronecker_products(rule, norm):
    a, g, a_eye, eye_g = factors()
    expected = math.sqrt(
        torch.linalg.matrix_norm(a_eye, norm) / torch.linalg.matrix_norm(eye_g, norm)
    )
    assert math.isclose(pi_of(a, g, rule), expected, rel_tol=1e-12)


@EACH_NORM
def test_pi_minimises_the_bound_on_the_residual(rule, norm):
    """The bound by the triangle inequality: pi |I (x) G| + |Abar (x) I| / pi."""
    a, g, a_eye, eye_g = factors()

    def bound(pi):
        left, right = pi * eye_g, a_eye / pi
        return torch.linalg.matrix_norm(left, norm) + torch.linalg.matrix_norm(right, norm)

    pi = pi_of(a, g, rule)
    assert bound(pi) < bound(1.001 * pi)
    assert bound(pi) < bound(pi / 1.001)


def test_the_rules_differ():
    a, g, _, _ = factors()
    assert len({round(pi_of(a, g, rule), 6) for rule in PI_RULES}) == 4


def test_one_is_1():
    a, g, _, _ = factors()
    assert pi_of(a, g, "one") == 1.0


@EACH_RULE
@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
@pytest.mark.parametrize("factor", [0, 1])
def test_pi_is_1_if_a_factor_is_zero_or_not_finite(rule, value, factor):
    matrices = [torch.eye(3, dtype=torch.float64), torch.eye(2, dtype=torch.float64)]
    matrices[factor] = torch.full_like(matrices[factor], value)
    assert pi_of(*matrices, rule) == 1.0


@EACH_RULE
def test_pi_does_not_depend_on_the_dtype(rule):
    a, g, _, _ = factors()
    single = pi_of(a.float(), g.float(), rule)
    assert math.isclose(single, pi_of(a, g, rule), rel_tol=1e-6)


def test_the_largest_eigenvalue_is_that_of_the_symmetric_part():
    """Rounding makes running averages slightly asymmetric; both triangles are used."""
    a, g, _, _ = factors()
    skew = 1e-3 * torch.tensor([[0, 1, -1], [-1, 0, 1], [1, -1, 0]], dtype=torch.float64)
    assert math.isclose(pi_of(a + skew, g, "spectral"), pi_of(a, g, "spectral"))


# --- in the damped factors and the inverses ------------------------------------------------------


def damped(stats, gamma, rule):
    """Abar + pi gamma I and G + gamma/pi I, with pi as section 6.3 writes it."""
    activation, gradient = ([list(row) for row in rows] for rows in stats)
    for i in range(len(activation)):
        a, g = activation[i][i], gradient[i][i]
        eye_a, eye_g = (torch.eye(len(m), dtype=m.dtype) for m in (a, g))
        pi = 1.0
        if rule != "one":
            left, right = torch.kron(a.contiguous(), eye_g), torch.kron(eye_a, g.contiguous())
            norms = (torch.linalg.matrix_norm(m, NORMS[rule]) for m in (left, right))
            pi = math.sqrt(next(norms) / next(norms))
        activation[i][i] = a + pi * gamma * eye_a
        gradient[i][i] = g + gamma / pi * eye_g
    return Statistics(activation, gradient)


@EACH_RULE
@pytest.mark.parametrize(
    ("inverse", "structure"),
    [(BlockDiagonalInverse, oracles.f_breve), (BlockTridiagonalInverse, oracles.f_hat)],
)
def test_an_inverse_damped_by_a_rule_equals_the_dense_product(inverse, structure, rule):
    stats = oracles.statistics(*problem(CHAIN, cases=2))
    where = oracles.blocks(CHAIN.layer_sizes)
    dense = structure(oracles.f_tilde(damped(stats, 0.1, rule)), where)
    v = oracles.some_vector(25)
    engine = inverse(oracles.tridiagonal(stats, KroneckerFactors), 0.1, pi=rule)
    product = oracles.vec(engine.multiply(oracles.unvec(v, CHAIN.layer_sizes)))
    assert oracles.relative_error(product, torch.linalg.solve(dense, v)) < 1e-9


def test_trace_is_the_default():
    stats = oracles.tridiagonal(oracles.statistics(*problem(CHAIN)), KroneckerFactors)
    for default, trace in zip(
        factored_tikhonov(stats, 0.3), factored_tikhonov(stats, 0.3, "trace"), strict=True
    ):
        assert all(torch.equal(a, b) for a, b in zip(default, trace, strict=True))


def test_an_unknown_rule_is_refused_by_name():
    stats = oracles.tridiagonal(oracles.statistics(*problem(CHAIN)), KroneckerFactors)
    with pytest.raises(ValueError, match="pi='nuclear': must be one of trace, frobenius"):
        factored_tikhonov(stats, 0.3, "nuclear")
