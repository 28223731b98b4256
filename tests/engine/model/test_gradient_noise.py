"""The variance of the cases' gradients, against the gradients of single cases by autograd."""

import math

import pytest
import torch
from torch.func import grad, vmap

from engine import oracles
from engine.oracles import ODD_ARCHITECTURES, every_architecture, problem
from kfac_cli.engine import Network
from kfac_cli.engine.model.gradient_noise import noise_scale, total_variance
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.engine.model.statistics import StatisticsRequest
from kfac_cli.engine.parameters import add_l2_gradient, squared_norm

EVERY = pytest.mark.parametrize("architecture", every_architecture() + ODD_ARCHITECTURES, ids=str)


def single_gradients(small):
    """The gradient of each case's loss, (m, n)."""
    architecture, theta, inputs, targets = small

    def loss_of(flat, case, target):
        return oracles.loss(architecture.output, oracles.logits(architecture, flat, case), target)

    return vmap(grad(loss_of), in_dims=(None, 0, 0))(theta, inputs, targets)


def mini_batch(small, chunk_size=4, dtype=torch.float64):
    architecture, theta, inputs, targets = small
    parameters = [w.to(dtype) for w in oracles.unvec(theta, architecture.layer_sizes)]
    return MiniBatch(Network(*architecture), parameters, inputs, targets, chunk_size)


@EVERY
def test_the_variance_is_that_of_the_single_gradients(architecture):
    small = problem(architecture, cases=9)
    expected = float(single_gradients(small).var(dim=0).sum())
    assert float(mini_batch(small).first_order(variance=True).variance) == pytest.approx(expected)


@EVERY
def test_the_noise_scale_relates_it_to_the_gradient_of_the_objective_with_l2(architecture):
    small = problem(architecture, cases=9)
    first = mini_batch(small).first_order(variance=True)
    full = oracles.gradient(architecture, small.theta, small.inputs, small.targets, l2=0.3)
    expected = float(single_gradients(small).var(dim=0).sum() / full.square().sum())
    parameters = oracles.unvec(small.theta, architecture.layer_sizes)
    gradient = add_l2_gradient(first.gradient, parameters, 0.3)
    square = float(squared_norm(gradient))
    assert square == pytest.approx(float(full.square().sum()))
    assert noise_scale(float(first.variance), square) == pytest.approx(expected)


def test_it_predicts_the_variance_of_the_gradients_of_mini_batches():
    """E‖g_m - g‖² = tr Var / m over mini-batches of m cases drawn with replacement."""
    small = problem(every_architecture()[0], cases=50)
    single = single_gradients(small)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(50, (20_000, 5), generator=generator)
    error = (single[drawn].mean(1) - single.mean(0)).square().sum(1).mean()
    variance = float(mini_batch(small).first_order(variance=True).variance)
    assert float(error) == pytest.approx(variance * 49 / 50 / 5, rel=0.03)


@pytest.mark.parametrize("chunk_size", [1, 2, 5, 9, 20])
def test_it_is_independent_of_the_chunk_size_and_changes_nothing_else(chunk_size):
    small = problem(every_architecture()[4], cases=9)
    request = StatisticsRequest(cases=3, neighbours=True, seeds=(0,))
    one_chunk = mini_batch(small, 9).first_order(request, variance=True)
    chunked = mini_batch(small, chunk_size).first_order(request, variance=True)
    without = mini_batch(small, chunk_size).first_order(request)
    assert float(chunked.variance) == pytest.approx(float(one_chunk.variance), rel=1e-13)
    assert without.variance is None
    assert (chunked.loss, chunked.error) == (without.loss, without.error)
    for mine, theirs in zip(
        [*chunked.gradient, *chunked.statistics.tensors()],
        [*without.gradient, *without.statistics.tensors()],
        strict=True,
    ):
        assert torch.equal(mine, theirs)


def test_single_precision_is_accurate_enough():
    small = problem(every_architecture()[0], cases=200)
    exact = float(mini_batch(small).first_order(variance=True).variance)
    single = float(mini_batch(small, dtype=torch.float32).first_order(variance=True).variance)
    assert single == pytest.approx(exact, rel=1e-5)
    assert single != exact


def test_equal_cases_have_no_variance():
    architecture, theta, inputs, targets = problem(every_architecture()[0])
    equal = oracles.Problem(architecture, theta, inputs[:1].repeat(7, 1), targets[:1].repeat(7, 1))
    variance = mini_batch(equal, dtype=torch.float32).first_order(variance=True).variance
    assert 0 <= variance < 1e-6


def test_the_variance_of_a_single_case_is_refused():
    small = problem(every_architecture()[0], cases=1)
    with pytest.raises(ValueError, match="cases=1: a variance needs 2 or more"):
        mini_batch(small).first_order(variance=True)


def test_a_gradient_of_zero_has_an_infinite_noise_scale_unless_the_variance_is_zero_too():
    zero = [torch.zeros(2, 3), torch.zeros(1, 3)]
    assert noise_scale(2.0, 0.0) == math.inf
    assert noise_scale(0.0, 0.0) == 0
    assert total_variance(torch.tensor(0.0), zero, 2) == 0
