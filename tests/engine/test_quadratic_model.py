"""Sections 6.4 and 7: alpha and mu against a brute-force minimisation of M(delta)."""

import math

import pytest
import torch

from kfac_cli.engine.parameters import inner_products, linear_combination
from kfac_cli.engine.quadratic_model import QuadraticModel

from . import oracles
from .oracles import Architecture, every_architecture, problem

EVERY = pytest.mark.parametrize("architecture", every_architecture(), ids=str)
CHAIN = Architecture((3, 2, 3, 2), ("tanh", "logistic"), "bernoulli")
DAMPING = 0.7  # lambda + eta
L2 = 0.1


def setting(architecture):
    """F, the dense curvature F + (lambda + eta) I, the gradient of h, and two directions."""
    small = problem(architecture)
    fisher = oracles.fisher(architecture, small.theta, small.inputs)
    slope = oracles.gradient(*small, l2=L2)
    curvature = fisher + DAMPING * torch.eye(len(slope), dtype=torch.float64)
    directions = [-slope, oracles.some_vector(len(slope))]
    return fisher, curvature, slope, directions


def reduced(fisher, slope, directions):
    """The engine's model of the same: Gram matrices of the directions."""
    basis = torch.stack(directions, dim=1)
    return QuadraticModel(basis.T @ fisher @ basis, basis.T @ basis, basis.T @ slope)


def delta_for(coefficients, directions):
    return sum(c * d for c, d in zip(coefficients, directions, strict=True))


@EVERY
@pytest.mark.parametrize("chosen", [[0], [0, 1]], ids=["alpha", "alpha and mu"])
def test_coefficients_minimise_the_quadratic_model(architecture, chosen):
    fisher, curvature, slope, directions = setting(architecture)
    minimum = reduced(fisher, slope, directions).minimum(chosen, DAMPING)
    span = [directions[i] for i in chosen]
    expected = oracles.best_coefficients(curvature, slope, span)
    torch.testing.assert_close(torch.tensor(minimum.coefficients, dtype=torch.float64), expected)


@EVERY
def test_change_is_the_models_value_at_the_minimum(architecture):
    fisher, curvature, slope, directions = setting(architecture)
    minimum = reduced(fisher, slope, directions).minimum([0, 1], DAMPING)
    delta = delta_for(minimum.coefficients, directions)
    expected = oracles.model_change(curvature, slope, delta).item()
    assert minimum.change == pytest.approx(expected, rel=1e-9)


@EVERY
@pytest.mark.parametrize("mu", [0.0, 0.8])
def test_alpha_minimises_the_model_for_a_given_mu(architecture, mu):
    """Along the first direction, from μ times the second: as M shifted there says."""
    fisher, curvature, slope, directions = setting(architecture)
    start, along = torch.tensor([[0.0, mu], [1.0, 0.0]], dtype=torch.float64)
    model = reduced(fisher, slope, directions)
    alpha = model.minimum_on_line([0, 1], start, along, DAMPING)
    there = slope + curvature @ (mu * directions[1])
    [expected] = oracles.best_coefficients(curvature, there, directions[:1])
    assert alpha == pytest.approx(float(expected), rel=1e-9)


def test_on_a_line_without_curvature_or_of_a_model_that_is_not_finite_there_is_no_minimum():
    flat = QuadraticModel(*(torch.zeros(shape).double() for shape in ((2, 2), (2, 2), (2,))))
    start, along = torch.tensor([[0.0, 0.8], [1.0, 0.0]], dtype=torch.float64)
    assert flat.minimum_on_line([0, 1], start, along, DAMPING) == 0
    broken = QuadraticModel(flat.fisher + math.nan, flat.inner, flat.slope)
    assert math.isnan(broken.minimum_on_line([0, 1], start, along, DAMPING))


def test_no_other_point_near_or_far_is_lower():
    """Brute force over alpha and mu: rings around the minimiser from 1e-4 to 10 times its size."""
    fisher, curvature, slope, directions = setting(CHAIN)
    minimum = reduced(fisher, slope, directions).minimum([0, 1], DAMPING)
    alpha, mu = minimum.coefficients
    size = math.hypot(alpha, mu)
    for radius in (1e-4 * size, 1e-2 * size, size, 10 * size):
        for angle in torch.linspace(0, 2 * math.pi, 73).tolist():
            other = (alpha + radius * math.cos(angle), mu + radius * math.sin(angle))
            value = oracles.model_change(curvature, slope, delta_for(other, directions)).item()
            assert value > minimum.change


def test_a_zero_previous_update_leaves_alpha_as_without_momentum():
    fisher, _, slope, directions = setting(CHAIN)
    directions[1] = torch.zeros_like(slope)
    model = reduced(fisher, slope, directions)
    both, alone = model.minimum([0, 1], DAMPING), model.minimum([0], DAMPING)
    assert both.coefficients[0] == pytest.approx(alone.coefficients[0], rel=1e-12)
    assert both.coefficients[1] == 0
    assert both.change == pytest.approx(alone.change, rel=1e-12)


@pytest.mark.parametrize("ratio", [1.0, -3.0, 1e-6, 1e6])
def test_a_previous_update_parallel_to_the_proposal_gives_the_same_step(ratio):
    """alpha and mu are not unique then; delta and M(delta) are."""
    fisher, _, slope, directions = setting(CHAIN)
    directions[1] = ratio * directions[0]
    model = reduced(fisher, slope, directions)
    both, alone = model.minimum([0, 1], DAMPING), model.minimum([0], DAMPING)
    torch.testing.assert_close(
        delta_for(both.coefficients, directions), alone.coefficients[0] * directions[0]
    )
    assert both.change == pytest.approx(alone.change, rel=1e-9)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_directions_of_very_different_norms_do_not_lose_accuracy(scale):
    fisher, _, slope, directions = setting(CHAIN)
    plain = reduced(fisher, slope, directions).minimum([0, 1], DAMPING)
    scaled = reduced(fisher, slope, [directions[0], scale * directions[1]])
    alpha, mu = scaled.minimum([0, 1], DAMPING).coefficients
    assert [alpha, mu * scale] == pytest.approx(plain.coefficients, rel=1e-9)


def test_a_zero_gradient_means_no_step():
    fisher, _, slope, directions = setting(CHAIN)
    minimum = reduced(fisher, 0 * slope, directions).minimum([0, 1], DAMPING)
    assert [abs(c) for c in minimum.coefficients] == [0, 0]
    assert minimum.change == 0


def test_a_model_that_is_not_finite_has_a_minimum_of_nan():
    fisher, _, slope, directions = setting(CHAIN)
    model = reduced(fisher, math.inf * slope, directions)
    assert math.isnan(model.minimum([0, 1], DAMPING).change)


def test_inner_products_and_combinations_of_parameter_lists():
    vectors = [oracles.some_vector(25, seed) for seed in range(3)]
    lists = [oracles.unvec(v, CHAIN.layer_sizes) for v in vectors]
    stacked = torch.stack(vectors)
    torch.testing.assert_close(inner_products(lists), stacked @ stacked.T)
    torch.testing.assert_close(
        oracles.vec(linear_combination([2.0, -1.0, 0.5], lists)),
        2 * vectors[0] - vectors[1] + 0.5 * vectors[2],
    )
