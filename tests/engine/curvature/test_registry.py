"""The curvatures behind their protocol, each by its name in the options."""

from typing import get_args, get_type_hints

import pytest
import torch

from engine import oracles
from engine.oracles import Architecture, problem
from kfac_cli.engine import KFACOptions, KroneckerFactors
from kfac_cli.engine.curvature.factors import CaseFactors
from kfac_cli.engine.curvature.registry import CURVATURES, make_curvature
from kfac_cli.engine.options.curvature import FIRST_ITERATIONS

CHAIN = Architecture((3, 2, 3, 2), ("tanh", "logistic"), "bernoulli")
EACH_CURVATURE = pytest.mark.parametrize("inverse", CURVATURES)


def options_for(inverse, **more):
    rule = "fixed" if inverse == "identity" else "search"
    return KFACOptions(inverse=inverse, gamma_rule=rule, **more)


def curvature_of(inverse, **more):
    made = make_curvature(options_for(inverse, **more))
    statistics = oracles.statistics(*problem(CHAIN))
    made.update(oracles.tridiagonal(statistics, KroneckerFactors), FIRST_ITERATIONS + 1)
    return made


def vectors(seed=7):
    return oracles.unvec(oracles.some_vector(25, seed), CHAIN.layer_sizes)


def test_the_names_are_those_of_the_option():
    assert get_args(get_type_hints(KFACOptions)["inverse"]) == tuple(CURVATURES)


@pytest.mark.parametrize(
    ("inverse", "options", "needs"),
    [
        ("block_tridiagonal", {"l2": 0}, (True, True, False)),
        ("block_diagonal", {"l2": 0}, (True, False, True)),
        ("block_diagonal", {"l2": 1e-5}, (True, False, False)),  # ηW is of full rank
        ("block_diagonal", {"l2": 0, "tikhonov": "exact"}, (True, False, False)),
        ("ekfac", {"l2": 0}, (True, False, False)),
        ("identity", {"l2": 0}, (False, False, False)),
    ],
)
def test_what_each_needs(inverse, options, needs):
    """Statistics, neighbours, and the factors of the cases."""
    found = make_curvature(options_for(inverse, **options)).needs
    assert (found.statistics, found.neighbours, found.case_factors) == needs


@EACH_CURVATURE
def test_several_gammas_at_once_give_the_inverses_of_each(inverse):
    curvature = curvature_of(inverse)
    gammas = (0.1, 1.0, 10.0)
    for gamma, made in zip(gammas, curvature.inverses(gammas), strict=True):
        [alone] = curvature.inverses([gamma])
        assert all(map(torch.equal, made.multiply(vectors()), alone.multiply(vectors())))


@EACH_CURVATURE
def test_a_product_leaves_the_vectors_as_they_are(inverse):
    [made] = curvature_of(inverse).inverses([0.5])
    given = vectors()
    made.multiply(given)
    made.multiply_gradient(given, None)
    assert all(map(torch.equal, given, vectors()))


@EACH_CURVATURE
def test_the_product_with_a_gradient_of_few_cases_is_the_same_up_to_rounding(inverse):
    sizes, generator = CHAIN.layer_sizes, torch.Generator().manual_seed(0)

    def normal(width):
        return torch.randn(2, width, generator=generator, dtype=torch.float64)

    cases = CaseFactors([normal(d) for d in sizes[1:]], [normal(d + 1) for d in sizes[:-1]])
    gradient = [g.T @ a / 2 for g, a in zip(cases.gradients, cases.homogeneous, strict=True)]
    [made] = curvature_of(inverse).inverses([0.5])
    for short, direct in zip(
        made.multiply_gradient(gradient, cases), made.multiply(gradient), strict=True
    ):
        torch.testing.assert_close(short, direct)


@EACH_CURVATURE
def test_a_saved_curvature_makes_the_same_inverses(inverse):
    first, second = curvature_of(inverse), make_curvature(options_for(inverse))
    second.load_state_dict(first.state_dict())
    [made], [again] = first.inverses([0.3]), second.inverses([0.3])
    restored = second.restore(made.state_dict())
    for other in (again, restored):
        assert all(map(torch.equal, made.multiply(vectors()), other.multiply(vectors())))


@EACH_CURVATURE
def test_an_update_replaces_the_tensors_of_a_saved_state(inverse):
    curvature = curvature_of(inverse)
    state = curvature.state_dict()
    copies = [m.clone() for ms in state.get("factors", {}).values() for m in ms]
    fresh = oracles.statistics(*problem(CHAIN, seed=3))
    curvature.update(oracles.tridiagonal(fresh, KroneckerFactors), FIRST_ITERATIONS + 2)
    kept = [m for ms in state.get("factors", {}).values() for m in ms]
    assert all(map(torch.equal, kept, copies))
