"""Exact Tikhonov damping in the first iterations, factored damping from then on."""

import pytest
import torch

from engine import oracles
from engine.oracles import Architecture, problem
from kfac_cli.engine import KFAC, KFACOptions, KroneckerFactors, Network
from kfac_cli.engine.curvature.dense import matrix_of
from kfac_cli.engine.curvature.protocol import FIRST_ITERATIONS
from kfac_cli.engine.curvature.registry import make_curvature

CHAIN = Architecture((3, 2, 3, 2), ("tanh", "logistic"), "bernoulli")
GAMMA = 0.3
BOTH = pytest.mark.parametrize("inverse", ["block_diagonal", "block_tridiagonal"])


def dense_inverse(inverse, iteration):
    """The engine's inverse at an iteration, as a matrix."""
    curvature = make_curvature(KFACOptions(inverse=inverse, tikhonov="exact_first"))
    statistics = oracles.statistics(*problem(CHAIN))
    curvature.update(oracles.tridiagonal(statistics, KroneckerFactors), iteration)
    [made] = curvature.inverses([GAMMA])
    return matrix_of(made.multiply, CHAIN.layer_sizes)


@BOTH
@pytest.mark.parametrize("iteration", range(1, FIRST_ITERATIONS + 1))
def test_at_first_it_is_the_block_diagonal_with_gamma_squared_on_its_diagonal(inverse, iteration):
    statistics = oracles.statistics(*problem(CHAIN))
    blocks = oracles.f_breve(oracles.f_tilde(statistics), oracles.blocks(CHAIN.layer_sizes))
    expected = torch.linalg.inv(blocks + GAMMA**2 * torch.eye(len(blocks), dtype=blocks.dtype))
    torch.testing.assert_close(dense_inverse(inverse, iteration), expected)


@BOTH
@pytest.mark.parametrize("iteration", [FIRST_ITERATIONS + 1, 100])
def test_then_it_is_the_inverse_with_factored_damping(inverse, iteration):
    expected = oracles.approximate_fisher(inverse, oracles.statistics(*problem(CHAIN)), GAMMA)
    torch.testing.assert_close(dense_inverse(inverse, iteration), torch.linalg.inv(expected))


@BOTH
def test_a_run_continues_bit_for_bit_from_either_part(inverse):
    def optimizer():
        start = problem(CHAIN)
        return KFAC(
            Network(*CHAIN),
            oracles.unvec(start.theta, CHAIN.layer_sizes),
            KFACOptions(inverse=inverse, tikhonov="exact_first", lambda_initial=1.0, t3=2, t2=2),
            torch.Generator().manual_seed(0),
        )

    whole = optimizer()
    for iteration in range(1, 7):
        fresh = problem(CHAIN, 16, seed=100 + iteration)
        resumed, state = optimizer(), whole.state_dict()
        resumed.state_rules()(state, "state")
        resumed.load_state_dict(state)
        for each in (whole, resumed):
            assert each.step(fresh.inputs, fresh.targets).outcome == "accepted"
        assert all(map(torch.equal, whole.parameters, resumed.parameters))


@pytest.mark.parametrize("inverse", ["identity", "ekfac"])
def test_it_is_refused_where_there_is_no_such_damping(inverse):
    rule = "fixed" if inverse == "identity" else "search"
    with pytest.raises(ValueError, match=r"^tikhonov=exact_first: "):
        KFACOptions(inverse=inverse, tikhonov="exact_first", gamma_rule=rule)
