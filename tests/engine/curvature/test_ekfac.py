"""EKFAC against the dense Fisher blocks of the same cases, and its diagonal over iterations."""

import pytest
import torch
from torch.func import vmap

from engine import oracles
from engine.oracles import ODD_ARCHITECTURES, Architecture, every_architecture, problem
from kfac_cli.engine import KFAC, BlockDiagonalInverse, KFACOptions, KroneckerFactors, Network
from kfac_cli.engine.curvature.dense import matrix_of
from kfac_cli.engine.curvature.eigen_statistics import ScaledFactors
from kfac_cli.engine.curvature.ekfac import EKFACInverse
from kfac_cli.engine.curvature.exact_tikhonov import ExactTikhonovInverse
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.registry import make_curvature
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.engine.model.statistics import StatisticsRequest
from kfac_cli.engine.options.curvature import FIRST_ITERATIONS

CHAIN = Architecture((3, 2, 3, 2), ("tanh", "logistic"), "bernoulli")
EVERY = pytest.mark.parametrize("architecture", every_architecture() + ODD_ARCHITECTURES, ids=str)
FACTORED = KFACOptions(inverse="ekfac", tikhonov="factored")
BASES, LATER = FIRST_ITERATIONS, FIRST_ITERATIONS + 1
"""The iteration that makes the first bases, and that of the first inverse in them."""

FISHERS = pytest.mark.parametrize("fisher", ["empirical", "exact"])


def curvature_with_bases(small, fallbacks=None):
    """With its first bases, from other cases: nothing is measured in them yet."""
    other = problem(small.architecture, 8, seed=3)
    curvature = make_curvature(FACTORED, fallbacks)
    curvature.update(oracles.tridiagonal(oracles.statistics(*other), KroneckerFactors), BASES)
    curvature.inverses([1.0])
    return curvature


def measured(small, bases, fisher="empirical", chunk_size=4, **request):
    """The engine's statistics of all cases."""
    batch = MiniBatch(
        Network(*small.architecture),
        oracles.unvec(small.theta, small.architecture.layer_sizes),
        small.inputs,
        small.targets,
        chunk_size,
    )
    seeds = request.pop("seeds", ())
    wanted = StatisticsRequest(len(small.inputs), False, seeds, fisher, bases, **request)
    return batch.first_order(wanted).statistics


def fisher_blocks(small, fisher):
    """E[vec(g abar^T) vec(g abar^T)^T] of each layer, by autograd, from every case by itself."""
    architecture, theta = small.architecture, small.theta
    if fisher == "exact":
        inputs, targets, weights = oracles.exact_cases(architecture, theta, small.inputs)
    else:
        inputs, targets = small.inputs, small.targets
        weights = theta.new_full((len(inputs),), 1 / len(inputs))
    slope = lambda x, y: oracles.gradient(architecture, theta, x[None], y[None], 0.0)  # noqa: E731
    gradients = vmap(slope)(inputs, targets)
    whole = torch.einsum("m,ma,mb->ab", weights, gradients, gradients)
    return [whole[block, block] for block in oracles.blocks(architecture.layer_sizes)]


def eigenvectors(bases, layer):
    """U_A (x) U_G, so that its products with vec(W) are those of U_G^T W U_A."""
    return torch.kron(bases.activation[layer].contiguous(), bases.gradient[layer].contiguous())


def diagonal(scalings):
    return torch.diag(oracles.vec([scalings]))


# --- the statistics ------------------------------------------------------------------------------


@EVERY
@FISHERS
def test_the_scalings_are_the_second_moments_of_the_cases_gradients(architecture, fisher):
    small = problem(architecture)
    bases = curvature_with_bases(small).needs.bases
    blocks = fisher_blocks(small, fisher)
    for layer, found in enumerate(measured(small, bases, fisher).scalings):
        u = eigenvectors(bases, layer)
        expected = (u.T @ blocks[layer] @ u).diagonal()
        torch.testing.assert_close(oracles.vec([found]), expected)


@EVERY
@FISHERS
def test_no_other_diagonal_is_nearer_to_the_block_of_the_same_cases(architecture, fisher):
    """The residual is orthogonal to every U diag(d) U^T; so it grows by |d|^2."""
    small = problem(architecture)
    bases = curvature_with_bases(small).needs.bases
    blocks = fisher_blocks(small, fisher)
    for layer, found in enumerate(measured(small, bases, fisher).scalings):
        u = eigenvectors(bases, layer)
        residual = blocks[layer] - u @ diagonal(found) @ u.T
        change = oracles.some_vector(found.numel(), seed=layer)
        changed = residual - u @ torch.diag(change) @ u.T
        grown = residual.square().sum() + change.square().sum()
        torch.testing.assert_close(changed.square().sum(), grown)


def test_kfacs_diagonal_is_farther():
    small = problem(CHAIN)
    curvature = make_curvature(FACTORED)
    curvature.update(measured(small, None), BASES)
    curvature.inverses([1.0])
    bases, of_kfac = curvature.needs.bases, curvature.scalings
    own = measured(small, bases).scalings
    for layer, block in enumerate(fisher_blocks(small, "empirical")):
        u = eigenvectors(bases, layer)
        far, near = ((block - u @ diagonal(d[layer]) @ u.T).norm() for d in (of_kfac, own))
        assert near < 0.9 * far


@pytest.mark.parametrize("fisher", ["sampled", "exact", "empirical"])
def test_they_do_not_depend_on_the_chunk_size(fisher):
    small = problem(CHAIN, cases=9)
    bases = curvature_with_bases(small).needs.bases
    expected = measured(small, bases, fisher, 9, seeds=(4, 5))
    for size in (1, 4):
        found = measured(small, bases, fisher, size, seeds=(4, 5))
        for one, other in zip(found.tensors(), expected.tensors(), strict=True):
            torch.testing.assert_close(one, other)


def test_several_samples_are_averaged():
    """Two samples of one and the same target are as one."""
    small = problem(CHAIN)
    bases = curvature_with_bases(small).needs.bases
    once, twice = (measured(small, bases, "sampled", seeds=s) for s in ((3,), (3, 3)))
    for one, other in zip(once.tensors(), twice.tensors(), strict=True):
        torch.testing.assert_close(one, other)


def test_factors_beside_them_are_those_without_bases():
    small = problem(CHAIN)
    bases = curvature_with_bases(small).needs.bases
    found, plain = measured(small, bases), measured(small, None)
    assert isinstance(found, ScaledFactors) and not isinstance(plain, ScaledFactors)
    assert all(map(torch.equal, found.activation, plain.activation))
    assert all(map(torch.equal, found.gradient, plain.gradient))


# --- the inverse ---------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("gamma", [0.01, 1.0, 150.0])
def test_the_inverse_is_that_of_the_dense_matrix(architecture, gamma):
    small = problem(architecture)
    curvature = curvature_with_bases(small)
    curvature.update(measured(small, curvature.needs.bases), LATER)
    [old] = curvature.inverses([1.0])
    bases = curvature.needs.bases
    curvature.update(measured(small, bases), LATER + 1)
    blocks = []
    for layer, scalings in enumerate(curvature.scalings):
        u = eigenvectors(bases, layer)
        damped = u @ diagonal(scalings) @ u.T
        blocks.append(damped + gamma**2 * torch.eye(len(u), dtype=u.dtype))
    dense = torch.block_diag(*blocks)
    found = matrix_of(curvature.latest(old, gamma).multiply, architecture.layer_sizes)
    torch.testing.assert_close(found, torch.linalg.inv(dense))


def test_before_anything_is_measured_it_is_kfac_with_exact_tikhonov_damping():
    small = problem(CHAIN)
    factors = oracles.tridiagonal(oracles.statistics(*small), KroneckerFactors)
    products = []
    for options in ({"inverse": "ekfac"}, {"inverse": "block_diagonal", "tikhonov": "exact"}):
        curvature = make_curvature(KFACOptions(**options))
        curvature.update(factors, LATER)
        [inverse] = curvature.inverses([0.3])
        products.append(matrix_of(inverse.multiply, CHAIN.layer_sizes))
    torch.testing.assert_close(*products)


@pytest.mark.parametrize("iteration", range(1, LATER))
def test_in_the_first_iterations_it_is_kfac_with_factored_tikhonov_damping(iteration):
    statistics = oracles.statistics(*problem(CHAIN))
    curvature = make_curvature(FACTORED)
    curvature.update(oracles.tridiagonal(statistics, KroneckerFactors), iteration)
    [inverse] = curvature.inverses([0.3])
    expected = oracles.approximate_fisher("block_diagonal", statistics, 0.3)
    found = matrix_of(inverse.multiply, CHAIN.layer_sizes)
    torch.testing.assert_close(found, torch.linalg.inv(expected))
    assert (curvature.needs.bases is not None) == (iteration == BASES)


def test_the_candidates_for_gamma_share_the_eigenvectors():
    small = problem(CHAIN)
    curvature = curvature_with_bases(small)
    curvature.update(measured(small, curvature.needs.bases), LATER)
    one, other = curvature.inverses([0.1, 1.0])
    assert one.activation_vectors is other.activation_vectors
    assert one.gradient_vectors is other.gradient_vectors


def test_a_singular_diagonal_is_counted_and_its_inverse_finite():
    fallbacks, small = Fallbacks(), problem(CHAIN)
    curvature = curvature_with_bases(small, fallbacks)
    curvature.update(measured(small, curvature.needs.bases), LATER)
    curvature.inverses([1.0])
    assert fallbacks == Fallbacks()
    curvature.scalings[1][0].zero_()
    [inverse] = curvature.inverses([1e-12])
    assert fallbacks.clipped_sums == 1
    assert all(torch.isfinite(each).all() for each in inverse.weights)


def test_a_factor_that_is_not_finite_is_refused():
    factors = oracles.tridiagonal(oracles.statistics(*problem(CHAIN)), KroneckerFactors)
    factors.gradient[1][0, 0] = torch.nan
    curvature = make_curvature(FACTORED)
    curvature.update(factors, LATER)
    with pytest.raises(ValueError, match="not finite"):
        curvature.inverses([1.0])


def test_the_eigenvectors_of_float32_factors_are_computed_in_float64():
    """LAPACK's float32 solver returns NaN for a factor of MNIST, which has many zero rows."""
    factors = oracles.tridiagonal(oracles.statistics(*problem(CHAIN)), KroneckerFactors)
    single = KroneckerFactors(*([m.float() for m in ms] for ms in vars(factors).values()))
    curvature = make_curvature(FACTORED)
    curvature.update(single, LATER)
    [inverse] = curvature.inverses([0.1])
    for found, given in zip(inverse.activation_vectors, single.activation, strict=True):
        symmetric = (given.double() + given.double().T) / 2
        assert torch.equal(found, torch.linalg.eigh(symmetric).eigenvectors.float())


def test_float32_is_close_to_float64():
    factors = oracles.tridiagonal(oracles.statistics(*problem(CHAIN)), KroneckerFactors)
    single = KroneckerFactors(*([m.float() for m in ms] for ms in vars(factors).values()))
    vectors = oracles.unvec(oracles.some_vector(25), CHAIN.layer_sizes)
    products = []
    for given in (factors, single):
        curvature = make_curvature(FACTORED)
        curvature.update(given, LATER)
        [inverse] = curvature.inverses([0.1])
        dtype = given.activation[0].dtype
        product = inverse.multiply([v.to(dtype) for v in vectors])
        assert all(each.dtype == dtype for each in product)
        products.append(oracles.vec([each.double() for each in product]))
    assert oracles.relative_error(products[1], products[0]) < 1e-4


# --- the diagonal over iterations ----------------------------------------------------------------


@pytest.mark.parametrize("iteration", [LATER, 100])
def test_it_is_averaged_with_the_weights_of_the_factors(iteration):
    small = problem(CHAIN)
    curvature = curvature_with_bases(small)
    before, new = curvature.scalings, measured(small, curvature.needs.bases)
    curvature.update(new, iteration)
    epsilon = min(1 - 1 / iteration, 0.95)
    for found, old, fresh in zip(curvature.scalings, before, new.scalings, strict=True):
        torch.testing.assert_close(found, epsilon * old + (1 - epsilon) * fresh)


def test_a_refresh_begins_with_kfacs_diagonal_in_the_new_bases():
    small = problem(CHAIN)
    curvature = curvature_with_bases(small)
    old = curvature.needs.bases
    curvature.update(measured(small, old), LATER)
    curvature.inverses([1.0])
    new, factors = curvature.needs.bases, curvature.factors
    for layer, found in enumerate(curvature.scalings):
        was, now = eigenvectors(old, layer), eigenvectors(new, layer)
        kfac = torch.kron(factors.activation[layer], factors.gradient[layer])
        assert (now.T @ was).abs().diagonal().min() < 0.999  # the bases did turn
        torch.testing.assert_close(oracles.vec([found]), (now.T @ kfac @ now).diagonal())


def test_the_bases_diagonalize_the_factors_of_the_refresh():
    small = problem(CHAIN)
    curvature = curvature_with_bases(small)
    curvature.update(measured(small, curvature.needs.bases), LATER)
    curvature.inverses([1.0])
    bases, factors = curvature.needs.bases, curvature.factors
    pairs = [
        *zip(bases.activation, factors.activation, strict=True),
        *zip(bases.gradient, factors.gradient, strict=True),
    ]
    for u, matrix in pairs:
        inside = u.T @ matrix @ u
        torch.testing.assert_close(inside, torch.diag(inside.diagonal()))
        torch.testing.assert_close(u.T @ u, torch.eye(len(u), dtype=u.dtype))


def test_the_same_factors_are_decomposed_once():
    curvature = curvature_with_bases(problem(CHAIN))
    bases, scalings = curvature.needs.bases, curvature.scalings
    curvature.inverses([0.1, 1.0])
    assert curvature.needs.bases is bases and curvature.scalings is scalings


def optimizer_of(**options):
    start = problem(CHAIN)
    return KFAC(
        Network(*CHAIN),
        oracles.unvec(start.theta, CHAIN.layer_sizes),
        KFACOptions(inverse="ekfac", lambda_initial=1.0, t3=10, t2=10, **options),
        torch.Generator().manual_seed(0),
    )


def test_between_refreshes_the_inverse_follows_the_diagonal_in_its_bases():
    optimizer = optimizer_of()
    seen = []
    for iteration in range(1, 12):
        fresh = problem(CHAIN, 16, seed=100 + iteration)
        assert optimizer.step(fresh.inputs, fresh.targets).outcome == "accepted"
        inverse, curvature = optimizer.direction.inverse, optimizer.curvature
        if iteration <= FIRST_ITERATIONS:
            kind = ExactTikhonovInverse if iteration <= 2 else BlockDiagonalInverse
            assert isinstance(inverse, kind)
            continue
        assert isinstance(inverse, EKFACInverse)
        assert inverse.activation_vectors is curvature.needs.bases.activation
        for weights, scalings in zip(inverse.weights, curvature.scalings, strict=True):
            torch.testing.assert_close(weights, 1 / (scalings + optimizer.gamma**2))
        seen.append(inverse)
    bases = [id(each.activation_vectors) for each in seen]
    assert len({*bases[:6]}) == 1 and len({*bases[6:]}) == 1 and bases[5] != bases[6]  # 10 is new
    assert len({float(each.weights[0][0, 0]) for each in seen}) == len(seen)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tikhonov": "exact"}, "^tikhonov=exact: needs inverse=block_diagonal"),
        ({"pi": "one"}, "^pi=one: must be trace with inverse=ekfac: after three iterations"),
        ({"refresh": "background"}, "^refresh=background: must be immediate with inverse=ekfac"),
        ({"t3": 1}, "^t3=1: with inverse=ekfac, .* must be 2 or more"),
        ({"l2_product": "refreshed"}, "^l2_product=refreshed: needs inverse=block_diagonal"),
    ],
)
def test_what_it_cannot_do_or_does_anyway_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        KFACOptions(inverse="ekfac", **changes)
