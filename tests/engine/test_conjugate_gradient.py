"""Further CG steps on M(δ) (section 6.4), against textbook preconditioned CG, dense."""

import pytest
import torch

from kfac_cli.engine import (
    BlockDiagonalInverse,
    BlockTridiagonalInverse,
    KroneckerFactors,
    Network,
)
from kfac_cli.engine.conjugate_gradient import continue_conjugate_gradient
from kfac_cli.engine.linearization import Linearization
from kfac_cli.engine.model.minibatch import MiniBatch

from . import oracles
from .oracles import every_architecture, problem

DAMPING, L2 = 0.3, 0.05
INVERSES = {"block_diagonal": BlockDiagonalInverse, "block_tridiagonal": BlockTridiagonalInverse}
EVERY = pytest.mark.parametrize("architecture", every_architecture(), ids=str)
EACH_INVERSE = pytest.mark.parametrize("inverse", INVERSES)


class Setting:
    """One mini-batch for the engine and as dense matrices."""

    def __init__(self, architecture, inverse):
        small = problem(architecture)
        self.sizes = architecture.layer_sizes
        network = Network(*architecture)
        parameters = oracles.unvec(small.theta, self.sizes)
        batch = MiniBatch(network, parameters, small.inputs, small.targets, 4)
        self.here = Linearization.of(batch, L2)
        fisher = oracles.fisher(architecture, small.theta, small.inputs)
        self.curvature = fisher + DAMPING * torch.eye(len(fisher), dtype=torch.float64)
        self.slope = oracles.gradient(*small, l2=L2)
        statistics = oracles.statistics(architecture, small.theta, small.inputs, small.targets)
        factors = oracles.tridiagonal(statistics, KroneckerFactors)
        self.inverse = INVERSES[inverse](factors, 0.5)
        dense = oracles.approximate_fisher(inverse, statistics, 0.5)
        self.preconditioner = torch.linalg.inv(dense)

    def engine(self, start, steps):
        update, change = continue_conjugate_gradient(
            self.here,
            self.here.batch.cases,
            self.inverse,
            self.unvec(start),
            oracles.model_change(self.curvature, self.slope, start).item(),
            DAMPING,
            steps,
        )
        return oracles.vec(update), change

    def unvec(self, vector):
        return oracles.unvec(vector, self.sizes)


def preconditioned_cg(curvature, slope, preconditioner, steps):
    """Iterates of the textbook algorithm for curvature·δ = -slope from δ = 0."""
    delta = torch.zeros_like(slope)
    residual = -slope
    z = preconditioner @ residual
    direction = z
    iterates = []
    for _ in range(steps):
        product = curvature @ direction
        alpha = (residual @ z) / (direction @ product)
        delta = delta + alpha * direction
        new_residual = residual - alpha * product
        new_z = preconditioner @ new_residual
        beta = (new_residual @ new_z) / (residual @ z)
        residual, z, direction = new_residual, new_z, new_z + beta * direction
        iterates.append(delta)
    return iterates


@EVERY
@EACH_INVERSE
def test_from_the_rescaled_proposal_the_steps_are_those_of_preconditioned_cg(architecture, inverse):
    setting = Setting(architecture, inverse)
    iterates = preconditioned_cg(setting.curvature, setting.slope, setting.preconditioner, 4)
    for steps in (1, 2, 3):
        found, change = setting.engine(iterates[0], steps)
        assert oracles.relative_error(found, iterates[steps]) < 1e-7
        expected = oracles.model_change(setting.curvature, setting.slope, iterates[steps])
        assert change == pytest.approx(expected.item(), rel=1e-8)


@EACH_INVERSE
def test_many_steps_reach_the_minimum_of_the_model(inverse):
    setting = Setting(every_architecture()[0], inverse)
    minimum = -torch.linalg.solve(setting.curvature, setting.slope)
    found, _ = setting.engine(0.1 * minimum, len(minimum) + 5)
    assert oracles.relative_error(found, minimum) < 1e-6


@EVERY
def test_the_fisher_product_is_the_dense_one(architecture):
    small = problem(architecture)
    vector = oracles.some_vector(len(small.theta))
    parameters = oracles.unvec(small.theta, architecture.layer_sizes)
    batch = MiniBatch(Network(*architecture), parameters, small.inputs, small.targets, 4)
    direction = oracles.unvec(vector, architecture.layer_sizes)
    for cases in (2, 5, 6):
        product = oracles.vec(batch.fisher_product(direction, cases))
        expected = oracles.fisher(architecture, small.theta, small.inputs[-cases:]) @ vector
        torch.testing.assert_close(product, expected)
