"""The statistics of section 5: what they estimate, and how they are averaged."""

import math

import pytest
import torch

from engine import oracles
from engine.oracles import ODD_ARCHITECTURES, every_architecture, problem
from kfac_cli.engine import Network
from kfac_cli.engine.curvature.factors import (
    KroneckerFactors,
    running_average_weight,
    sum_over_cases,
)

EVERY = pytest.mark.parametrize("architecture", every_architecture() + ODD_ARCHITECTURES, ids=str)
REPEATS = 4000


def backward_pass(architecture, theta, inputs, targets):
    network = Network(*architecture)
    parameters = oracles.unvec(theta, architecture.layer_sizes)
    activations = network.forward(parameters, inputs)
    output_gradient = network.distribution.gradient(activations.logits, targets)
    return activations.homogeneous, network.backward(parameters, activations, output_gradient)


@EVERY
def test_sums_are_the_outer_products_of_neighbouring_layers(architecture):
    small = problem(architecture)
    sums = sum_over_cases(*backward_pass(*small), neighbours=True)
    expected = oracles.statistics(*small)
    count, layers = len(small.inputs), len(sums.activation)
    for i in range(layers):
        torch.testing.assert_close(sums.activation[i], count * expected.activation[i][i])
        torch.testing.assert_close(sums.gradient[i], count * expected.gradient[i][i])
    for i in range(layers - 1):
        torch.testing.assert_close(sums.activation_next[i], count * expected.activation[i][i + 1])
        torch.testing.assert_close(sums.gradient_next[i], count * expected.gradient[i][i + 1])


def test_without_neighbours_there_are_only_diagonal_blocks():
    small = problem(ODD_ARCHITECTURES[-1])
    sums = sum_over_cases(*backward_pass(*small), neighbours=False)
    assert len(sums.activation) == len(sums.gradient) == 5
    assert not sums.activation_next and not sums.gradient_next


@EVERY
def test_sampled_statistics_estimate_the_expectation_over_the_models_targets(architecture):
    """Every entry of G within 5 standard errors of its exact value."""
    small = problem(architecture, cases=3)
    small = small._replace(theta=0.5 * small.theta)  # no very rare targets
    inputs = small.inputs.repeat(REPEATS, 1)
    network = Network(*architecture)
    parameters = oracles.unvec(small.theta, architecture.layer_sizes)
    natural = network.forward(parameters, inputs).logits
    noise = network.distribution.noise(
        len(inputs), natural.shape[1], torch.Generator().manual_seed(0), natural
    )
    targets = network.distribution.sample(natural, noise)
    _, gradients = backward_pass(architecture, small.theta, inputs, targets)
    exact = oracles.statistics(
        architecture, small.theta, *oracles.exact_cases(architecture, small.theta, small.inputs)
    )
    for i, one in enumerate(gradients):
        for j, other in enumerate(gradients[i : i + 2], start=i):
            products = torch.einsum("ma,mb->mab", one, other)
            standard_error = products.std(0) / math.sqrt(len(inputs))
            error = (products.mean(0) - exact.gradient[i][j]).abs()
            assert (error <= 5 * standard_error + 1e-12).all()


def test_the_decay_is_1_minus_1_over_k_until_it_reaches_095():
    weights = [running_average_weight(k) for k in (1, 2, 3, 19, 20, 21, 1000)]
    assert weights == pytest.approx([0, 1 / 2, 2 / 3, 18 / 19, 0.95, 0.95, 0.95], rel=1e-15)
    assert running_average_weight(10, maximum=0.5) == 0.5


def test_running_average():
    def factors(value):
        return KroneckerFactors(*([torch.full((2, 2), value)] for _ in range(4)))

    running = factors(1.0).averaged(factors(5.0), epsilon=0.75)
    for matrix in running.tensors():
        assert torch.equal(matrix, torch.full((2, 2), 2.0))
