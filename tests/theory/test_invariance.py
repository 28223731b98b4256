"""Theorem 1: an update of K-FAC is the same in a network and in any transform of it.

The transforms (section 10) put arbitrary invertible matrices Omega_i, Phi_i around every
non-linearity. Without damping, for both approximations of the Fisher.

Softmax outputs are excluded: a shift of all logits changes nothing, so G_{l,l} is singular and the
undamped inverse of the theorem does not exist.
"""

import pytest
import torch
from engine import oracles
from engine.oracles import Architecture, problem

from kfac_cli.engine import Network

from .helpers import INVERSES, dense, model_passes, training_passes
from .transformed import randomly_transformed

ARCHITECTURES = [
    Architecture((3, 2), (), "bernoulli"),
    Architecture((4, 3, 2), ("relu",), "gaussian"),
    Architecture((3, 3, 2, 2), ("relu", "relu"), "bernoulli"),
    Architecture((3, 2, 3, 2), ("logistic", "tanh"), "bernoulli"),
    Architecture((3, 2, 3, 2), ("tanh", "logistic"), "gaussian"),
    Architecture((3, 4, 2, 4, 3), ("tanh", "tanh", "tanh"), "bernoulli"),
]
EVERY = pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
EACH_INVERSE = pytest.mark.parametrize("inverse", INVERSES)
EACH_TRANSFORM = pytest.mark.parametrize("seed", [0, 1])
CASES = 40  # enough for well-conditioned factors without damping
ALPHA = 0.3


class Pair:
    """A network at theta and its transform at theta' = zeta^-1(theta), on the same cases."""

    def __init__(self, architecture, seed):
        _, theta, self.inputs, self.targets = problem(architecture, CASES)
        self.sizes = architecture.layer_sizes
        self.transformed = randomly_transformed(architecture, seed)
        self.theta = oracles.unvec(theta, self.sizes)
        self.theta_dagger = self.transformed.zeta_inverse(self.theta)
        self.both = (
            (Network(*architecture), self.theta),
            (self.transformed, self.theta_dagger),
        )

    def outputs(self):
        return [network.forward(weights, self.inputs).logits for network, weights in self.both]

    def passes(self):
        """Of each network, under the model's distribution."""
        return [model_passes(*each, self.inputs) for each in self.both]

    def inverses(self, inverse, gamma=0.0):
        """The engine's approximate inverse Fisher of each, from its own statistics."""
        return [INVERSES[inverse](each.factors(), gamma) for each in self.passes()]

    def discrepancy(self, preconditioners):
        """How far zeta(theta' + delta') - theta is from delta, relative to delta."""
        slopes = [training_passes(*each, self.inputs, self.targets).slope() for each in self.both]
        delta, delta_dagger = (
            [-ALPHA * layer for layer in precondition(slope)]
            for precondition, slope in zip(preconditioners, slopes, strict=True)
        )
        moved = [w + d for w, d in zip(self.theta_dagger, delta_dagger, strict=True)]
        change = oracles.vec(self.transformed.zeta(moved)) - oracles.vec(self.theta)
        return oracles.relative_error(change, oracles.vec(delta))


@EVERY
@EACH_TRANSFORM
def test_the_transformed_network_is_a_reparameterisation(architecture, seed):
    """f'(x, theta') = f(x, zeta(theta')) for an invertible linear zeta."""
    pair = Pair(architecture, seed)
    plain, transformed = pair.outputs()
    torch.testing.assert_close(transformed, plain)
    jacobian = pair.transformed.zeta_jacobian()
    torch.testing.assert_close(jacobian @ oracles.vec(pair.theta_dagger), oracles.vec(pair.theta))
    assert torch.linalg.matrix_rank(jacobian) == len(jacobian)


@EVERY
@EACH_TRANSFORM
def test_units_and_derivatives_transform_as_in_the_proof(architecture, seed):
    """abar_i' = Omega_i abar_i and g_i' = Phi_i^T g_i."""
    pair = Pair(architecture, seed)
    plain, transformed = pair.passes()
    for i, (omega, phi) in enumerate(
        zip(pair.transformed.omegas, pair.transformed.phis, strict=True)
    ):
        torch.testing.assert_close(transformed.units[i], plain.units[i] @ omega.T)
        torch.testing.assert_close(transformed.gradients[i], plain.gradients[i] @ phi)


@EVERY
@EACH_TRANSFORM
def test_factors_transform_as_in_the_proof(architecture, seed):
    """Abar_{i,j}' = Omega_i Abar_{i,j} Omega_j^T and G_{i,j}' = Phi_i^T G_{i,j} Phi_j."""
    pair = Pair(architecture, seed)
    omegas, phis = pair.transformed.omegas, pair.transformed.phis
    plain, transformed = (each.factors() for each in pair.passes())
    layers = range(len(phis))
    torch.testing.assert_close(
        transformed.activation, [omegas[i] @ plain.activation[i] @ omegas[i].T for i in layers]
    )
    torch.testing.assert_close(
        transformed.gradient, [phis[i].T @ plain.gradient[i] @ phis[i] for i in layers]
    )
    torch.testing.assert_close(
        transformed.activation_next,
        [omegas[i] @ plain.activation_next[i] @ omegas[i + 1].T for i in layers[:-1]],
    )
    torch.testing.assert_close(
        transformed.gradient_next,
        [phis[i].T @ plain.gradient_next[i] @ phis[i + 1] for i in layers[:-1]],
    )


@EVERY
@EACH_TRANSFORM
@EACH_INVERSE
def test_the_approximate_fisher_transforms_like_a_metric(architecture, seed, inverse):
    """C' = J^T C J for C = F-breve and F-hat, J of zeta. Here inverted: J C'^-1 J^T = C^-1."""
    pair = Pair(architecture, seed)
    plain, transformed = (dense(each, pair.sizes) for each in pair.inverses(inverse))
    jacobian = pair.transformed.zeta_jacobian()
    assert oracles.relative_error(jacobian @ transformed @ jacobian.T, plain) < 1e-8


@EVERY
@EACH_TRANSFORM
@EACH_INVERSE
def test_theorem_1(architecture, seed, inverse):
    """zeta(theta' + delta') = theta + delta, where delta = -alpha C^-1 grad h."""
    pair = Pair(architecture, seed)
    assert pair.discrepancy([each.multiply for each in pair.inverses(inverse)]) < 1e-8


@EACH_INVERSE
def test_damping_breaks_the_invariance(inverse):
    """The theorem's condition is necessary: a multiple of I does not transform with Omega."""
    pair = Pair(ARCHITECTURES[3], 0)
    assert pair.discrepancy([each.multiply for each in pair.inverses(inverse, gamma=0.1)]) > 0.01


def test_gradient_descent_is_not_invariant():
    assert Pair(ARCHITECTURES[3], 0).discrepancy([list, list]) > 0.1


def test_softmax_outputs_have_no_undamped_inverse():
    """The reason why they are excluded: 1^T g_l = 0 for every case and target."""
    architecture = Architecture((3, 2, 3), ("tanh",), "categorical")
    _, theta, inputs, _ = problem(architecture, CASES)
    parameters = oracles.unvec(theta, architecture.layer_sizes)
    last = model_passes(Network(*architecture), parameters, inputs).factors().gradient[-1]
    torch.testing.assert_close(last.sum(0), torch.zeros(3, dtype=torch.float64))
