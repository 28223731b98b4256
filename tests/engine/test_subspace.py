"""Section 7 in float32: a proposal nearly parallel to the previous update, and M's Gram matrix."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from kfac_cli.data.curves import generate_curves
from kfac_cli.engine import KFAC, KFACOptions, Network, sparse_initialization
from kfac_cli.engine.conjugate_gradient import continue_conjugate_gradient
from kfac_cli.engine.direction import best_update
from kfac_cli.engine.linearization import Linearization
from kfac_cli.engine.model.minibatch import MiniBatch

from . import oracles
from .oracles import Architecture

SMALL = Architecture((5, 4, 3, 5), ("tanh", "logistic"), "bernoulli")
CASES = 400
DAMPING = 0.3
OPTIONS = KFACOptions(l2=0, tau2=1)


class Fixed:
    """An inverse that proposes a given vector, whatever the gradient."""

    def __init__(self, proposal):
        self.product = [-layer for layer in proposal]

    def multiply_gradient(self, gradient, cases, products):
        return [layer.clone() for layer in self.product]


class Setting:
    """A mini-batch in float32, with F and ∇h of its parameters in float64."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        network = Network(*SMALL)
        theta = oracles.some_vector(sum(a * b for a, b in network.parameter_shapes), 7).float()
        inputs = torch.rand(CASES, 5, generator=generator)
        batch = MiniBatch(network, self.unvec(theta), inputs, inputs, CASES)
        self.here = Linearization.of(batch, 0.0)
        exact = MiniBatch(network, self.unvec(theta.double()), inputs, inputs, CASES)
        self.slope = oracles.vec(Linearization.of(exact, 0.0).gradient)
        fisher = oracles.fisher(SMALL, theta.double(), inputs.double())
        self.curvature = fisher + DAMPING * torch.eye(len(theta), dtype=torch.float64)

    @staticmethod
    def unvec(vector):
        return oracles.unvec(vector, SMALL.layer_sizes)

    def near_parallel(self, angle):
        """A proposal at about that angle to a previous update, and that update."""
        previous = -self.slope.float()
        other = oracles.some_vector(len(previous), 3).float()
        return 0.7 * previous + angle * other * previous.norm() / other.norm(), previous

    def update(self, proposal, previous, **options):
        """What is made of the proposal, with γ = 1."""
        inverse = Fixed(self.unvec(proposal))
        made_with = replace(OPTIONS, **options)
        return best_update(self.here, [(1.0, inverse)], self.unvec(previous), DAMPING, made_with)

    def minimum(self, *directions):
        """The minimiser of M over a span, by an orthonormal basis in float64."""
        basis, _ = torch.linalg.qr(torch.stack([d.double() for d in directions], dim=1))
        reduced = torch.linalg.solve(basis.T @ self.curvature @ basis, basis.T @ self.slope)
        return -basis @ reduced


@pytest.fixture(scope="module")
def setting():
    return Setting()


@pytest.mark.parametrize("angle", [1e-1, 1e-2, 1e-3, 1e-4, 1e-5])
def test_near_parallel_directions_give_the_step_of_a_float64_oracle(setting, angle):
    """Of the two vectors as float32 holds them, at whatever angle."""
    proposal, previous = setting.near_parallel(angle)
    update = setting.update(proposal, previous)
    expected = setting.minimum(proposal, previous)
    assert oracles.relative_error(oracles.vec(update.delta), expected) < 1e-6
    rebuilt = update.alpha * proposal.double() + update.mu * previous.double()
    assert oracles.relative_error(rebuilt, expected) < 1e-6 + 1e-9 / angle
    change = oracles.model_change(setting.curvature, setting.slope, expected).item()
    assert update.change == pytest.approx(change, rel=1e-6)


@pytest.mark.parametrize("angle", [1e-1, 1e-3, 1e-5])
def test_near_parallel_directions_give_the_alpha_of_a_float64_oracle_for_a_held_mu(setting, angle):
    proposal, previous = setting.near_parallel(angle)
    update = setting.update(proposal, previous, mu=0.8)
    delta, proposal = 0.8 * previous.double(), proposal.double()
    rise = proposal @ (setting.slope + setting.curvature @ delta)
    alpha = float(-rise / (proposal @ setting.curvature @ proposal))
    assert update.mu == 0.8
    assert update.alpha == pytest.approx(alpha, rel=1e-5)
    expected = alpha * proposal + delta
    assert oracles.relative_error(oracles.vec(update.delta), expected) < 1e-6
    change = oracles.model_change(setting.curvature, setting.slope, expected).item()
    assert update.change == pytest.approx(change, rel=1e-5)


@pytest.mark.parametrize("ratio", [1.0, -3.0, 1e-6, 1e6])
def test_a_proposal_that_differs_by_rounding_errors_only_adds_nothing(setting, ratio):
    previous = -setting.slope.float()
    noise = 1 + 1e-7 * oracles.some_vector(len(previous), 3).float()
    update = setting.update(ratio * previous * noise, previous)
    assert oracles.relative_error(oracles.vec(update.delta), setting.minimum(previous)) < 1e-5


def test_such_a_proposal_adds_nothing_but_alpha_where_mu_is_held(setting):
    """δ is along δ₀, of which α takes it to the minimum of M, whatever μ."""
    previous = -setting.slope.float()
    update = setting.update(-3 * previous, previous, mu=0.8)
    assert update.mu == 0.8
    assert oracles.relative_error(oracles.vec(update.delta), setting.minimum(previous)) < 1e-5


def test_conjugate_gradient_steps_from_a_near_parallel_direction_are_as_accurate(setting):
    """The preconditioned residual is nearly parallel to the last step, at an angle of 1e-4."""
    last = -setting.slope.float()
    other = oracles.some_vector(len(last), 3).float()
    direction = last + 1e-4 * other * last.norm() / other.norm()

    class Preconditioner:
        def multiply(self, residual, products):
            return setting.unvec(-direction)

    start = setting.unvec(last)
    found, _ = continue_conjugate_gradient(
        setting.here, CASES, Preconditioner(), start, 0.0, DAMPING, 1
    )
    residual = setting.slope + setting.curvature @ last.double()
    basis, _ = torch.linalg.qr(torch.stack([direction.double(), last.double()], dim=1))
    reduced = torch.linalg.solve(basis.T @ setting.curvature @ basis, basis.T @ residual)
    expected = last.double() - basis @ reduced
    assert oracles.relative_error(oracles.vec(found), expected) < 1e-5


def test_the_gram_matrix_in_float32_is_as_accurate_as_its_products():
    """Summed in float64 over cases: one sum over all outputs of all cases loses two digits."""
    generator = torch.Generator().manual_seed(0)
    network = Network([4, 8, 500], ["logistic"], "bernoulli")
    parameters = sparse_initialization(network, generator)
    inputs = torch.rand(3000, 4, generator=generator)
    targets = torch.rand(3000, 500, generator=generator)
    directions = [[torch.rand_like(w) for w in parameters] for _ in range(2)]

    def gram(dtype, chunk_size):
        batch = MiniBatch(network, [w.to(dtype) for w in parameters], inputs, targets, chunk_size)
        return batch.fisher_gram([[w.to(dtype) for w in d] for d in directions], 3000)

    exact = gram(torch.float64, 3000)
    for chunk_size in (3000, 700):
        single = gram(torch.float32, chunk_size)
        torch.testing.assert_close(single, exact, rtol=2e-7, atol=0)


def curves_autoencoder(chunk_size):
    """A small autoencoder on 2,000 curves, and its optimizer, which samples no targets."""
    images = generate_curves(2000, np.random.default_rng(0), spread=0.2, ink=0.7)
    inputs = torch.from_numpy(images).reshape(2000, -1)
    activations = ["logistic", "logistic", "linear", "logistic", "logistic"]
    network = Network([784, 60, 20, 6, 20, 60, 784], activations, "bernoulli")
    parameters = sparse_initialization(network, torch.Generator().manual_seed(0))
    options = KFACOptions(
        chunk_size=chunk_size,
        tikhonov="factored",
        tau2=1,
        fisher="empirical",
        lambda_initial=1.0,
        growth_max=None,
    )
    generator = torch.Generator().manual_seed(0)
    return KFAC(network, [w.float() for w in parameters], options, generator), inputs


def test_in_early_iterations_alpha_and_mu_do_not_depend_on_how_sums_are_rounded():
    """A step in one chunk and the same one in twelve, which round the sums over cases differently.

    They differ by up to 1e-6 on an Intel processor, and on an AMD one by 5.5e-6 in one iteration;
    with the Gram matrix summed in float32 by 1e-5 to 3e-5, and 3e-5 to 8e-5.
    """
    differences = []
    one, inputs = curves_autoencoder(2000)
    for _ in range(6):
        several, _ = curves_autoencoder(170)
        several.load_state_dict(one.state_dict())
        record, other = one.step(inputs, inputs), several.step(inputs, inputs)
        pairs = [
            (other.alpha, record.alpha),
            (other.mu or 0, record.mu or 0),
            (other.model_change, record.model_change),
        ]
        differences.append(max(abs(a - b) / (abs(b) or 1) for a, b in pairs))
    assert sorted(differences)[3] < 1e-6 and max(differences) < 8e-6
