"""Section 6.3: the choice of pi in (Abar + pi gamma I) (x) (G + gamma/pi I), eqn 7.

Compared with eqn 6, Abar (x) G + gamma^2 I, its residual is gamma (pi I (x) G + Abar (x) I / pi).
pi minimises the bound on the residual's norm that follows from the triangle inequality, for some
matrix norm; the paper recommends the trace norm.
"""

import math

import pytest
import torch
from engine.oracles import every_architecture, problem, unvec

from kfac_cli.engine import KroneckerFactors, Network
from kfac_cli.engine.curvature.tikhonov import factored_tikhonov

from .helpers import model_passes

EVERY = pytest.mark.parametrize("architecture", every_architecture(), ids=str)
NORMS = {"trace": "nuc", "frobenius": "fro", "spectral": 2}  # as torch calls them
EACH_NORM = pytest.mark.parametrize("norm", NORMS)
GAMMA = 0.3
GRID = [1.02**power for power in range(-200, 201)]  # from 1/50 to 50


def identity_like(matrix):
    return torch.eye(len(matrix), dtype=matrix.dtype)


class Layer:
    """Abar and G of one layer, undamped and damped by the engine, and the engine's pi."""

    def __init__(self, activation, gradient, damped_activation, damped_gradient):
        self.factors = activation, gradient
        self.damped = damped_activation, damped_gradient
        self.added = damped_activation - activation, damped_gradient - gradient
        self.pi = self.added[0][0, 0].item() / GAMMA
        self.i_times_g = torch.kron(identity_like(activation), gradient)
        self.a_times_i = torch.kron(activation, identity_like(gradient))

    def residual(self, pi):
        return GAMMA * (pi * self.i_times_g + self.a_times_i / pi)

    def bound(self, pi, norm):
        """||I (x) G|| and ||Abar (x) I||, each with its coefficient."""
        norms = (torch.linalg.matrix_norm(m, norm).item() for m in (self.i_times_g, self.a_times_i))
        return GAMMA * sum(c * n for c, n in zip((pi, 1 / pi), norms, strict=True))


def layers(architecture, pi):
    small = problem(architecture)
    parameters = unvec(small.theta, architecture.layer_sizes)
    factors = model_passes(Network(*architecture), parameters, small.inputs).factors()
    damped = factored_tikhonov(factors, GAMMA, pi)
    return [
        Layer(*each) for each in zip(factors.activation, factors.gradient, *damped, strict=True)
    ]


@EVERY
@EACH_NORM
def test_eqn_7_is_eqn_6_plus_the_residual(architecture, norm):
    for layer in layers(architecture, norm):
        a, g = layer.added
        torch.testing.assert_close(a, layer.pi * GAMMA * identity_like(a))
        torch.testing.assert_close(g, GAMMA / layer.pi * identity_like(g))
        eqn_6 = torch.kron(*layer.factors)
        eqn_6 = eqn_6 + GAMMA**2 * identity_like(eqn_6)
        torch.testing.assert_close(torch.kron(*layer.damped), eqn_6 + layer.residual(layer.pi))


@EVERY
@EACH_NORM
def test_pi_minimises_the_bound_on_the_residuals_norm(architecture, norm):
    """Over a grid of pi, with the norms of the Kronecker products themselves."""
    for layer in layers(architecture, norm):
        bounds = {factor: layer.bound(factor * layer.pi, NORMS[norm]) for factor in GRID}
        assert min(bounds, key=bounds.__getitem__) == 1
        size = torch.linalg.matrix_norm(layer.residual(layer.pi), NORMS[norm])
        assert size <= bounds[1] * (1 + 1e-12)


@EVERY
def test_the_trace_norms_bound_is_the_norm_itself(architecture):
    """Both terms are positive semi-definite; so no pi has a residual of smaller trace norm."""
    for layer in layers(architecture, "trace"):
        size = torch.linalg.matrix_norm(layer.residual(layer.pi), "nuc").item()
        assert size == pytest.approx(layer.bound(layer.pi, "nuc"), rel=1e-9)


def test_pi_balances_the_average_eigenvalues():
    """tr(Abar)/(d+1) = 8 against tr(G)/d = 2: pi = 2, whatever the other entries."""
    activation = torch.tensor([[12.0, 3.0], [3.0, 4.0]]).double()
    gradient = torch.tensor([[1.0, 0.5, 0.0], [0.5, 3.0, 1.0], [0.0, 1.0, 2.0]]).double()
    damped = factored_tikhonov(KroneckerFactors([activation], [gradient]), GAMMA)
    layer = Layer(activation, gradient, damped[0][0], damped[1][0])
    assert layer.pi == pytest.approx(math.sqrt(8 / 2))
