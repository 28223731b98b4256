"""Corollary 3: block-diagonal K-FAC is gradient descent in a whitened and centred network.

It is so for any Omega_i, Phi_i with Omega_i Abar_{i,i} Omega_i^T = I and Phi_i^T G_{i,i} Phi_i = I.
The proof takes the symmetric roots, Omega_i = Abar_{i,i}^-1/2 and Phi_i = G_{i,i}^-1/2.

These whiten abar_i', but they do not centre a_i': the proof takes E[a_i'] from the last column of
E[abar_i' abar_i'^T] = I, which requires that the homogeneous coordinate is still 1. It is for the
Omega_i that maps a_i affinely to mean 0 and covariance I. The corollary holds with that one.
"""

import pytest
import torch
from engine import oracles
from engine.oracles import Architecture, problem

from kfac_cli.engine import BlockDiagonalInverse, Network

from .helpers import model_passes, training_passes
from .transformed import TransformedNetwork

ARCHITECTURES = [
    Architecture((3, 2), (), "bernoulli"),
    Architecture((4, 3, 2), ("relu",), "gaussian"),
    Architecture((3, 2, 3, 2), ("tanh", "logistic"), "bernoulli"),
    Architecture((3, 4, 2, 4, 3), ("tanh", "linear", "tanh"), "gaussian"),
]
EVERY = pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
CASES, ALPHA = 40, 0.3


def inverse_root(matrix):
    """M^-1/2, the symmetric one."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ values.rsqrt().diag() @ vectors.T


def whitening(second_moment):
    """Omega = Abar^-1/2, as in the proof."""
    return inverse_root(second_moment)


def whitening_and_centring(second_moment):
    """Omega with abar' = (C^-1/2 (a - m), 1), where a has the mean m and the covariance C."""
    mean = second_moment[:-1, -1]
    root = inverse_root(second_moment[:-1, :-1] - torch.outer(mean, mean))
    omega = torch.eye(len(second_moment), dtype=torch.float64)
    omega[:-1, :-1] = root
    omega[:-1, -1] = -root @ mean
    return omega


BOTH = pytest.mark.parametrize("make_omega", [whitening, whitening_and_centring])


class Whitened:
    """A network, its statistics, and its transform with the given choice of Omega_i."""

    def __init__(self, architecture, make_omega):
        _, theta, self.inputs, self.targets = problem(architecture, CASES)
        self.network = Network(*architecture)
        self.theta = oracles.unvec(theta, architecture.layer_sizes)
        self.factors = model_passes(self.network, self.theta, self.inputs).factors()
        omegas = [make_omega(a) for a in self.factors.activation]
        phis = [inverse_root(g) for g in self.factors.gradient]
        self.transformed = TransformedNetwork(architecture, omegas, phis)
        self.theta_dagger = self.transformed.zeta_inverse(self.theta)
        self.passes = model_passes(self.transformed, self.theta_dagger, self.inputs)


def assert_identity(matrix):
    torch.testing.assert_close(matrix, torch.eye(len(matrix), dtype=torch.float64))


@EVERY
@BOTH
def test_the_factors_of_the_whitened_network_are_identities(architecture, make_omega):
    factors = Whitened(architecture, make_omega).passes.factors()
    for matrix in [*factors.activation, *factors.gradient]:
        assert_identity(matrix)


@EVERY
@BOTH
def test_unit_gradients_are_centred_and_white(architecture, make_omega):
    """E[g'] = 0 and Cov[g'] = I, with respect to the model's distribution."""
    passes = Whitened(architecture, make_omega).passes
    for g in passes.gradients:
        torch.testing.assert_close(passes.mean(g), torch.zeros_like(g[0]))
        assert_identity(passes.mean(g[:, :, None] * g[:, None, :]))


@EVERY
def test_unit_activities_are_centred_and_white(architecture):
    """E[a'] = 0 and Cov[a'] = I; the homogeneous coordinate is still 1."""
    passes = Whitened(architecture, whitening_and_centring).passes
    for units in passes.units:
        a = units[:, :-1]
        torch.testing.assert_close(units[:, -1], torch.ones_like(units[:, -1]))
        torch.testing.assert_close(passes.mean(a), torch.zeros_like(a[0]))
        assert_identity(passes.mean(a[:, :, None] * a[:, None, :]))


@EVERY
def test_the_symmetric_root_alone_does_not_centre(architecture):
    """With Omega = Abar^-1/2, E[abar'] is the last column of Abar^1/2: not (0, 1)."""
    case = Whitened(architecture, whitening)
    for units, second_moment in zip(case.passes.units, case.factors.activation, strict=True):
        mean = case.passes.mean(units)
        torch.testing.assert_close(mean, torch.linalg.inv(inverse_root(second_moment))[:, -1])
        assert mean[:-1].norm() > 0.01
        assert units[:, -1].std() > 0.01


@EVERY
@BOTH
def test_corollary_3(architecture, make_omega):
    """theta - alpha F-breve^-1 grad h = zeta(theta' - alpha grad h')."""
    case = Whitened(architecture, make_omega)
    slope = training_passes(case.network, case.theta, case.inputs, case.targets).slope()
    update = BlockDiagonalInverse(case.factors, 0.0).multiply(slope)
    descended = [
        w - ALPHA * g
        for w, g in zip(
            case.theta_dagger,
            training_passes(case.transformed, case.theta_dagger, case.inputs, case.targets).slope(),
            strict=True,
        )
    ]
    change = oracles.vec(case.transformed.zeta(descended)) - oracles.vec(case.theta)
    assert oracles.relative_error(change, -ALPHA * oracles.vec(update)) < 1e-8
