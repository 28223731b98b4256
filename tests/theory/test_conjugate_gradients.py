"""Sections 6.4 and 7: K-FAC's alpha and mu are those of preconditioned linear CG on M(delta).

The preconditioner is the approximate Fisher. Without momentum, an update is one step of CG from 0,
or a few. With momentum, and where M is the same at every iteration, the iterates are CG's.
"""

import pytest
import torch
from engine import oracles
from engine.oracles import Architecture, every_architecture, problem

from kfac_cli.engine import KFAC, KFACOptions, Network
from kfac_cli.engine.quadratic_model import QuadraticModel

from .helpers import INVERSES, UNDAMPED, dense, exact_fisher, model_passes

EVERY = pytest.mark.parametrize("architecture", every_architecture(), ids=str)
EACH_INVERSE = pytest.mark.parametrize("inverse", INVERSES)
DAMPING = 0.05  # lambda + eta
GAMMA = 0.3
CASES = 12


def conjugate_gradients(curvature, slope, preconditioner, steps):
    """Textbook linear CG on 1/2 x^T C x + slope^T x from x = 0, with a preconditioner like C^-1.

    Yields x and, of the update alpha z + mu (last update), alpha and mu: with x <- x + alpha p and
    p = z + beta p_last, mu = alpha beta / alpha_last.
    """
    x = torch.zeros_like(slope)
    residual = -slope
    z = preconditioner @ residual
    direction, energy = z, residual @ z
    beta, last_alpha = 0.0, 1.0
    for _ in range(steps):
        product = curvature @ direction
        alpha = (energy / (direction @ product)).item()
        x = x + alpha * direction
        residual = residual - alpha * product
        yield x, alpha, alpha * beta / last_alpha
        z = preconditioner @ residual
        beta, energy = ((residual @ z) / energy).item(), residual @ z
        direction, last_alpha = z + beta * direction, alpha


def preconditioner_of(small, inverse, gamma=GAMMA):
    architecture = small.architecture
    parameters = oracles.unvec(small.theta, architecture.layer_sizes)
    factors = model_passes(Network(*architecture), parameters, small.inputs).factors()
    return INVERSES[inverse](factors, gamma)


# --- section 6.4: one step, or a few more ---------------------------------------------------------


@EVERY
@EACH_INVERSE
@pytest.mark.parametrize("steps", [1, 3])
def test_an_update_without_momentum_is_cg_from_0(architecture, inverse, steps):
    """A step of the engine, lambda > 0: theta changes by CG's first iterate, or a later one."""
    small = problem(architecture, CASES)
    sizes, l2 = architecture.layer_sizes, 0.01
    options = KFACOptions(
        inverse=inverse,
        tikhonov="factored",
        l2=l2,
        lambda_initial=DAMPING - l2,
        gamma_initial=GAMMA,
        tau1=1.0,
        tau2=1.0,
        momentum=False,
        cg_steps=steps,
    )
    theta = oracles.unvec(small.theta, sizes)
    optimizer = KFAC(Network(*architecture), theta, options, torch.Generator().manual_seed(0))
    record = optimizer.step(small.inputs, small.targets)

    slope = oracles.gradient(*small, l2=l2)
    curvature = exact_fisher(small) + DAMPING * torch.eye(len(slope), dtype=slope.dtype)
    preconditioner = dense(optimizer.direction.inverse, sizes)
    expected = list(conjugate_gradients(curvature, slope, preconditioner, steps))
    assert record.alpha == pytest.approx(expected[0][1], rel=1e-9)
    change = oracles.vec(optimizer.parameters) - small.theta
    assert oracles.relative_error(change, expected[-1][0]) < 1e-8
    value = oracles.model_change(curvature, slope, change).item()
    assert record.model_change == pytest.approx(value, rel=1e-8)


# --- section 7: all steps ------------------------------------------------------------------------


@EVERY
@EACH_INVERSE
def test_momentum_on_a_fixed_quadratic_is_conjugate_gradients(architecture, inverse):
    """alpha, mu and the iterates, on M with lambda > 0 at one theta of any network."""
    small = problem(architecture, CASES)
    sizes = architecture.layer_sizes
    fisher, slope = exact_fisher(small), oracles.gradient(*small, l2=0.0)
    curvature = fisher + DAMPING * torch.eye(len(slope), dtype=slope.dtype)
    engine = preconditioner_of(small, inverse)
    steps = list(conjugate_gradients(curvature, slope, dense(engine, sizes), 6))

    x, previous = torch.zeros_like(slope), None
    for expected, expected_alpha, expected_mu in steps:
        here = slope + curvature @ x  # the gradient of M at the iterate
        proposal = -oracles.vec(engine.multiply(oracles.unvec(here, sizes)))
        directions = [proposal] if previous is None else [proposal, previous]
        basis = torch.stack(directions, 1)
        model = QuadraticModel(basis.T @ fisher @ basis, basis.T @ basis, basis.T @ here)
        alpha, *mu = model.minimum(range(len(directions)), DAMPING).coefficients
        assert [alpha, *mu] == pytest.approx([expected_alpha, expected_mu][: len(directions)], 1e-6)
        previous = basis @ torch.tensor([alpha, *mu], dtype=basis.dtype)
        x = x + previous
        assert oracles.relative_error(x, expected) < 1e-7


class LinearRegression:
    """A quadratic h (no hidden layer, Gaussian outputs) and a fixed preconditioner.

    lambda = 0: M(delta) - M(0) is then h(theta + delta) - h(theta). Any other lambda would be part
    of every M, centred at its iterate, and not of h. The preconditioner is inaccurate, from 5 cases
    with sampled targets, so that CG needs all of its steps.
    """

    architecture = Architecture((4, 2), (), "gaussian")
    l2 = 0.05

    def __init__(self, inverse, momentum=True):
        options = KFACOptions(
            inverse=inverse,
            tikhonov="factored",
            l2=self.l2,
            lambda_initial=UNDAMPED,
            gamma_initial=GAMMA,
            tau1=1.0,
            tau2=1.0,
            t2=1000,
            t3=1000,
            momentum=momentum,
            growth_max=None,
        )
        few, self.small = problem(self.architecture, 5), problem(self.architecture, 30)
        theta = oracles.unvec(self.small.theta, self.architecture.layer_sizes)
        network, generator = Network(*self.architecture), torch.Generator().manual_seed(2)
        self.optimizer = KFAC(network, theta, options, generator)
        for _ in range(3):  # the inverse of iteration 3 is used until iteration 1000
            self.optimizer.step(few.inputs, few.targets)
        self.optimizer.parameters, self.optimizer.direction.previous_update = theta, None

        fisher = exact_fisher(self.small)
        self.curvature = fisher + self.l2 * torch.eye(len(fisher), dtype=fisher.dtype)
        self.slope = oracles.gradient(*self.small, l2=self.l2)
        self.preconditioner = dense(self.optimizer.direction.inverse, self.architecture.layer_sizes)

    def step(self):
        """One full-batch step of the optimizer: its record and the change of theta so far."""
        record = self.optimizer.step(self.small.inputs, self.small.targets)
        return record, oracles.vec(self.optimizer.parameters) - self.small.theta


@EACH_INVERSE
def test_on_a_quadratic_objective_the_optimizer_is_conjugate_gradients(inverse):
    """The steps of KFAC itself."""
    case = LinearRegression(inverse)
    for x, alpha, mu in conjugate_gradients(case.curvature, case.slope, case.preconditioner, 10):
        record, position = case.step()
        assert oracles.relative_error(position, x) < 1e-8
        assert [record.alpha, record.mu or 0.0] == pytest.approx([alpha, mu], rel=1e-6)


@EACH_INVERSE
def test_it_converges_in_as_many_steps_as_there_are_parameters(inverse):
    """In 10, and not before."""
    case = LinearRegression(inverse)
    minimum = torch.linalg.solve(case.curvature, -case.slope)
    distances = [oracles.relative_error(case.step()[1], minimum) for _ in minimum]
    assert distances[-1] < 1e-9
    assert distances[-2] > 1e-6


@EACH_INVERSE
def test_it_is_slower_without_momentum(inverse):
    """That is preconditioned steepest descent, with the same first step."""
    values = []
    for case in (LinearRegression(inverse, momentum) for momentum in (True, False)):
        positions = [case.step()[1] for _ in range(4)]
        values.append([oracles.model_change(case.curvature, case.slope, p) for p in positions])
    conjugate, steepest = values
    torch.testing.assert_close(conjugate[0], steepest[0])
    assert conjugate[1] < steepest[1]
    assert conjugate[-1] < steepest[-1]
