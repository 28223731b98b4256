"""The explicit Fisher of a few layers against autograd over every target of the model."""

import pytest
import torch

from kfac_cli.engine import BlockTridiagonalInverse, KroneckerFactors, Network
from kfac_cli.engine.curvature.dense import MAX_PARAMETERS, check_size, matrix_of
from kfac_cli.engine.dense_fisher import CASES_AT_ONCE, DenseFisher
from kfac_cli.errors import UserError

from . import oracles
from .oracles import Architecture, every_architecture, problem

CHAIN = Architecture((3, 2, 3, 2, 3), ("tanh", "logistic", "tanh"), "categorical")


def dense_fisher(small, layers):
    parameters = oracles.unvec(small.theta, small.architecture.layer_sizes)
    return DenseFisher.of(Network(*small.architecture), parameters, small.inputs, layers)


@pytest.mark.parametrize("architecture", every_architecture(), ids=str)
def test_the_matrix_is_the_exact_fisher(architecture):
    small = problem(architecture)
    expected = oracles.fisher(architecture, small.theta, small.inputs)
    torch.testing.assert_close(dense_fisher(small, range(3)).matrix, expected)


def test_some_layers_give_their_part_of_it():
    small = problem(CHAIN)
    where = oracles.blocks(CHAIN.layer_sizes)
    middle = slice(where[1].start, where[2].stop)
    expected = oracles.fisher(CHAIN, small.theta, small.inputs)[middle, middle]
    torch.testing.assert_close(dense_fisher(small, [1, 2]).matrix, expected)


def test_statistics_and_mixed_moments_are_expectations_over_cases_and_targets():
    small = problem(CHAIN)
    inputs, targets, weights = oracles.exact_cases(*small[:3])
    expected = oracles.statistics(CHAIN, small.theta, inputs, targets, weights)
    found = dense_fisher(small, range(4))
    for ours, theirs in zip(found.statistics, expected, strict=True):
        for i, row in enumerate(theirs):
            for j, block in enumerate(row):
                torch.testing.assert_close(ours[i][j], block)

    pairs = list(zip(inputs, targets, strict=True))
    grads = [oracles.unit_gradients(CHAIN, small.theta, x, y) for x, y in pairs]
    scores = torch.stack(
        [oracles.gradient(CHAIN, small.theta, x[None], y[None], 0.0) for x, y in pairs]
    )
    g = torch.stack([torch.cat(each) for each in grads])
    torch.testing.assert_close(found.mixed, torch.einsum("k,kn,kg->ng", weights, scores, g))
    units = [oracles.forward(CHAIN, small.theta, x)[0] for x in small.inputs]
    for ours, theirs in zip(found.units, zip(*units, strict=True), strict=True):
        torch.testing.assert_close(ours, torch.stack(theirs).mean(0))


def test_more_cases_than_are_computed_at_once():
    small = problem(CHAIN, cases=3)
    times = 1 + CASES_AT_ONCE // 3
    many = small._replace(inputs=small.inputs.repeat(times, 1))
    torch.testing.assert_close(dense_fisher(many, [1]).matrix, dense_fisher(small, [1]).matrix)


def test_an_inverse_as_a_matrix():
    small = problem(CHAIN)
    stats = oracles.statistics(CHAIN, small.theta, small.inputs, small.targets)
    inverse = BlockTridiagonalInverse(oracles.tridiagonal(stats, KroneckerFactors), 0.5)
    matrix = matrix_of(inverse.multiply, CHAIN.layer_sizes)
    vector = oracles.some_vector(len(matrix))
    product = inverse.multiply(oracles.unvec(vector, CHAIN.layer_sizes))
    torch.testing.assert_close(matrix @ vector, oracles.vec(product))


def test_layers_that_are_too_large_are_refused_by_name():
    wide = Network((100, 100, 2), ("tanh",), "categorical")
    parameters = [torch.zeros(shape) for shape in wide.parameter_shapes]
    with pytest.raises(UserError, match=r"layer_sizes=\[100, 100, 2\]: .* 10100 parameters"):
        DenseFisher.of(wide, parameters, torch.zeros(1, 100), [0])
    check_size(MAX_PARAMETERS, "layer_sizes")
