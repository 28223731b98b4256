"""The matrices of the study `fisher`, against explicit ones for networks of a few units."""

import pytest
import torch
from engine import oracles
from engine.oracles import Architecture, problem
from theory.test_cumulants import VARIABLES, PairsOfWeights
from torch.func import vmap

from kfac_cli.engine import Network
from kfac_cli.engine.dense_fisher import DenseFisher
from kfac_cli.paper.fisher.blocks import block_means, largest_within, mean_parts
from kfac_cli.paper.fisher.cumulants import error_bound
from kfac_cli.paper.fisher.images import shrunk
from kfac_cli.paper.fisher.matrices import from_fisher

CHAIN = Architecture((2, 3, 2, 3, 2, 3), ("tanh",) * 4, "categorical")
MIDDLE = slice(1, 4)
"""The layers of the matrices: the last one's G is singular, since class probabilities sum to 1."""

GAMMA = 0.3


def fisher_of(small, layers):
    parameters = oracles.unvec(small.theta, small.architecture.layer_sizes)
    return DenseFisher.of(Network(*small.architecture), parameters, small.inputs, layers)


@pytest.fixture(scope="module")
def matrices():
    fisher = fisher_of(problem(CHAIN, cases=40), range(5)[MIDDLE])
    return from_fisher(fisher, CHAIN.layer_sizes[1:-1], GAMMA)


@pytest.fixture(scope="module")
def statistics():
    """The second moments over every label of the model, by autograd."""
    small = problem(CHAIN, cases=40)
    every = oracles.statistics(CHAIN, small.theta, *oracles.exact_cases(*small[:3]))
    return oracles.Statistics(*([row[MIDDLE] for row in rows[MIDDLE]] for rows in every))


def test_f_is_the_expectation_over_every_label(matrices):
    small = problem(CHAIN, cases=40)
    cases, targets, weights = oracles.exact_cases(*small[:3])
    scores = vmap(lambda x, y: oracles.gradient(CHAIN, small.theta, x[None], y[None], 0.0))(
        cases, targets
    )
    middle = scores[:, slice(oracles.blocks(CHAIN.layer_sizes)[1].start, -9)]
    torch.testing.assert_close(matrices.exact, middle.T @ (weights[:, None] * middle))


def test_the_blocks_of_f_tilde_are_kronecker_products(matrices, statistics):
    for i, rows in enumerate(matrices.where):
        for j, columns in enumerate(matrices.where):
            a, g = statistics.activation[i][j], statistics.gradient[i][j]
            expected = torch.einsum("ab,cd->acbd", a, g).flatten(2).flatten(0, 1)
            torch.testing.assert_close(matrices.tilde[rows, columns], expected)


def test_approximations_and_inverses_are_those_of_explicit_matrices(matrices, statistics):
    tilde, where = oracles.f_tilde(statistics), matrices.where
    damped = oracles.f_tilde(oracles.damped(statistics, GAMMA))
    for found, expected in (
        (matrices.breve, oracles.f_breve(tilde, where)),
        (matrices.hat, oracles.f_hat(tilde, where)),
        (matrices.exact_inverse, torch.linalg.inv(matrices.exact + damped - tilde)),
        (matrices.tilde_inverse, torch.linalg.inv(damped)),
        (matrices.breve_inverse, torch.linalg.inv(oracles.f_breve(damped, where))),
        (matrices.hat_inverse, torch.linalg.inv(oracles.f_hat(damped, where))),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def test_f_hat_has_the_tridiagonal_blocks_of_f_tilde_and_no_others(matrices):
    assert largest_within(matrices.hat - matrices.tilde, matrices.where, 1) < 1e-10
    assert largest_within(matrices.hat - matrices.tilde, matrices.where, 2) > 1e-4
    assert largest_within(matrices.breve - matrices.tilde, matrices.where, 0) < 1e-10
    assert largest_within(matrices.breve - matrices.tilde, matrices.where, 1) > 1e-4


@pytest.mark.parametrize("output", oracles.OUTPUTS)
def test_the_bound_is_that_of_the_cumulants_of_every_partition(output):
    """Eqn 4 with cumulants from moments, none left out by Lemma 4."""
    small = Architecture((2, 2, 2), ("tanh",), output)
    pairs = PairsOfWeights(small)
    terms = [
        pairs.cumulant(VARIABLES),
        pairs.moment(("a1",)) * pairs.cumulant(("a2", "g1", "g2")),
        pairs.moment(("a2",)) * pairs.cumulant(("a1", "g1", "g2")),
    ]
    bound = error_bound(fisher_of(problem(small), range(2)))
    torch.testing.assert_close(bound, sum(term.abs() for term in terms))


def test_the_bound_holds_for_every_pair_of_weights(matrices):
    error = (matrices.exact - matrices.tilde).abs()
    assert bool((error <= matrices.bound + 1e-12).all())
    assert error.sum() < matrices.bound.sum()


def test_means_of_blocks_and_parts():
    matrix = torch.tensor([[-1.0, 2, 3], [2, 4, 5], [3, 5, 6]])
    where = [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert torch.equal(block_means(matrix, where), matrix.abs())
    parts = mean_parts(matrix, where)
    assert vars(parts) == pytest.approx({"diagonal": 11 / 3, "neighbours": 3.5, "beyond": 3})
    assert sum(vars(parts.shares).values()) == pytest.approx(1)


def test_a_shrunk_image_keeps_its_mean_and_its_halves():
    images = torch.rand(3, 28 * 28, generator=torch.Generator().manual_seed(0))
    small = shrunk(images, 28, 16)
    assert small.shape == (3, 256)
    torch.testing.assert_close(small.mean(1), images.mean(1))
    halves = [each.reshape(3, 2, -1).mean(2) for each in (small, images)]
    torch.testing.assert_close(*halves)
    assert shrunk(torch.tensor([[1.0, 2.0, 3.0, 6.0]]), 2, 1).tolist() == [[3.0]]
