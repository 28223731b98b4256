"""Sections 2.2 and 6.1: the Fisher, the generalised Gauss-Newton matrix and the natural gradient.

For all three outputs, whose parameters are natural: F = E[D theta D theta^T] under the model's
distribution is the generalised Gauss-Newton matrix, and the expected Hessian of the loss.
"""

import pytest
import torch
from engine import oracles
from engine.oracles import every_architecture, problem
from torch.func import grad, jacrev, vmap

from kfac_cli.engine import Network
from kfac_cli.engine.quadratic_model import QuadraticModel

from .helpers import exact_fisher, model_passes

EVERY = pytest.mark.parametrize("architecture", every_architecture(), ids=str)


def hessian(function):
    """By reverse mode twice."""
    return jacrev(grad(function))


@EVERY
def test_the_fisher_is_the_second_moment_of_the_models_gradients(architecture):
    """F = E[D theta D theta^T], y drawn from the model, by enumeration."""
    small = problem(architecture)
    parameters = oracles.unvec(small.theta, architecture.layer_sizes)
    passes = model_passes(Network(*architecture), parameters, small.inputs)
    d_theta = passes.parameter_gradients()
    second_moment = torch.einsum("k,ka,kb->ab", passes.weights, d_theta, d_theta)
    torch.testing.assert_close(exact_fisher(small), second_moment)


@EVERY
def test_the_fisher_is_the_generalised_gauss_newton_matrix(architecture):
    """E[J^T H_L J]: J of the network up to the natural parameters z, H_L of the loss by z.

    H_L does not depend on the target: here the training targets and others.
    """
    small = problem(architecture)
    jacobian = oracles.jacobian(architecture, small.theta, small.inputs)
    for targets in (small.targets, _other_targets(small.targets)):
        loss_hessian = vmap(
            lambda z, y: hessian(lambda each: oracles.loss(architecture.output, each, y))(z)
        )(vmap(lambda x: oracles.logits(architecture, small.theta, x))(small.inputs), targets)
        gauss_newton = torch.einsum("man,mab,mbp->mnp", jacobian, loss_hessian, jacobian).mean(0)
        torch.testing.assert_close(exact_fisher(small), gauss_newton)


def _other_targets(targets):
    """The same with the outputs in reverse order, so a different target for most cases."""
    other = targets.flip(1)
    assert not torch.equal(other, targets)
    return other


@EVERY
def test_the_fisher_is_the_expected_hessian_under_the_models_distribution(architecture):
    """E[d^2 L / d theta^2], y drawn from the model; under the data's y it is the Hessian of h."""
    small = problem(architecture)
    inputs, targets, weights = oracles.exact_cases(*small[:3])

    def loss(theta, x, y):
        return oracles.loss(architecture.output, oracles.logits(architecture, theta, x), y)

    def expected(theta):
        return weights @ vmap(lambda x, y: loss(theta, x, y))(inputs, targets)

    def objective(theta):
        return vmap(lambda x, y: loss(theta, x, y))(small.inputs, small.targets).mean()

    fisher = exact_fisher(small)
    # The weights are the model's at theta, and constant for the derivatives.
    torch.testing.assert_close(hessian(expected)(small.theta), fisher)
    assert oracles.relative_error(hessian(objective)(small.theta), fisher) > 0.01


@EVERY
@pytest.mark.parametrize("damping", [1e-3, 1.0])
def test_the_models_minimiser_is_the_regularised_natural_gradient(architecture, damping):
    """M(delta) over all of parameter space has its minimum at -(F + (lambda + eta) I)^-1 grad h."""
    small = problem(architecture)
    slope = oracles.gradient(*small, l2=0.0)
    fisher, identity = exact_fisher(small), torch.eye(len(slope), dtype=slope.dtype)
    minimum = QuadraticModel(fisher, identity, slope).minimum(range(len(slope)), damping)
    expected = torch.linalg.solve(fisher + damping * identity, -slope)
    torch.testing.assert_close(torch.tensor(minimum.coefficients, dtype=slope.dtype), expected)
    assert minimum.change == pytest.approx(0.5 * (slope @ expected).item(), rel=1e-9)
