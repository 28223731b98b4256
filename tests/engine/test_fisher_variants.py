"""Statistics from different targets: the exact expectation, several samples, training targets."""

import pytest
import torch

from kfac_cli.engine import Network
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.engine.model.statistics import StatisticsRequest

from . import oracles
from .oracles import every_architecture, problem

EVERY = pytest.mark.parametrize("architecture", every_architecture(), ids=str)


def engine_statistics(architecture, small, chunk_size=4, cases=None, samples=1, **request):
    cases = len(small.inputs) if cases is None else cases
    batch = MiniBatch(
        Network(*architecture),
        oracles.unvec(small.theta, architecture.layer_sizes),
        small.inputs,
        small.targets,
        chunk_size,
    )
    return batch.first_order(
        StatisticsRequest(cases=cases, neighbours=True, seeds=tuple(range(samples)), **request)
    ).statistics


def assert_equal(found, expected):
    last = len(found.activation) - 1
    for i in range(last + 1):
        torch.testing.assert_close(found.activation[i], expected.activation[i][i])
        torch.testing.assert_close(found.gradient[i], expected.gradient[i][i])
    for i in range(last):
        torch.testing.assert_close(found.activation_next[i], expected.activation[i][i + 1])
        torch.testing.assert_close(found.gradient_next[i], expected.gradient[i][i + 1])


@EVERY
def test_exact_is_the_expectation_over_the_models_targets(architecture):
    small = problem(architecture)
    cases = oracles.exact_cases(architecture, small.theta, small.inputs)
    expected = oracles.statistics(architecture, small.theta, *cases)
    assert_equal(engine_statistics(architecture, small, fisher="exact"), expected)


@EVERY
def test_empirical_uses_the_training_targets(architecture):
    small = problem(architecture)
    expected = oracles.statistics(architecture, small.theta, small.inputs, small.targets)
    assert_equal(engine_statistics(architecture, small, fisher="empirical"), expected)


@EVERY
def test_empirical_pairs_the_first_cases_with_their_own_targets(architecture):
    small = problem(architecture, cases=7)
    expected = oracles.statistics(architecture, small.theta, small.inputs[:5], small.targets[:5])
    assert_equal(engine_statistics(architecture, small, fisher="empirical", cases=5), expected)


@pytest.mark.parametrize("output", oracles.OUTPUTS)
def test_several_samples_are_the_mean_of_as_many_independent_draws(output):
    """The mean of n draws has 1/n of one draw's variance; activities do not depend on targets."""
    architecture = next(each for each in every_architecture() if each.output == output)
    small = problem(architecture)
    cases = oracles.exact_cases(architecture, small.theta, small.inputs)
    exact = oracles.statistics(architecture, small.theta, *cases).gradient[-1][-1]
    many = engine_statistics(architecture, small, samples=4000)
    one = engine_statistics(architecture, small, samples=1)
    for mine, theirs in zip(many.activation, one.activation, strict=True):
        torch.testing.assert_close(mine, theirs)
    # Entries of g gᵀ are at most about 10 here: with 4000 samples of 6 cases the error is 0.1.
    assert (many.gradient[-1] - exact).abs().max() < 0.1 * max(1.0, exact.abs().max().item())
    assert not torch.allclose(one.gradient[-1], many.gradient[-1], rtol=1e-3)


@pytest.mark.parametrize("fisher", ["sampled", "exact", "empirical"])
def test_every_variant_is_independent_of_the_chunk_size(fisher):
    architecture = every_architecture()[0]
    small = problem(architecture, cases=9)
    one_chunk = engine_statistics(architecture, small, chunk_size=9, fisher=fisher, samples=2)
    chunked = engine_statistics(architecture, small, chunk_size=2, fisher=fisher, samples=2)
    for mine, theirs in zip(one_chunk.tensors(), chunked.tensors(), strict=True):
        torch.testing.assert_close(mine, theirs)
