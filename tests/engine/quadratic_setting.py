"""A mini-batch of a small problem with its dense quadratic model, and proposals given by hand."""

import torch

from kfac_cli.engine import Network
from kfac_cli.engine.linearization import Linearization
from kfac_cli.engine.model.minibatch import MiniBatch

from . import oracles


class Fixed:
    """An inverse that proposes a given vector, whatever the gradient."""

    def __init__(self, proposal):
        self.product = [-layer for layer in proposal]

    def multiply_gradient(self, gradient, cases, products):
        return [layer.clone() for layer in self.product]


class Setting:
    """A problem linearized in a dtype, with its curvature F + (λ+η)I and slope in float64."""

    def __init__(self, case, damping, l2, chunk_size, dtype=torch.float64):
        self.sizes, self.length = case.architecture.layer_sizes, len(case.theta)
        parameters = self.unvec(case.theta.to(dtype))
        network = Network(*case.architecture)
        batch = MiniBatch(network, parameters, case.inputs, case.targets, chunk_size)
        self.here = Linearization.of(batch, l2)
        fisher = oracles.fisher(case.architecture, case.theta, case.inputs)
        self.curvature = fisher + (damping + l2) * torch.eye(self.length, dtype=torch.float64)
        self.slope = oracles.gradient(*case, l2=l2)

    def unvec(self, vector):
        return oracles.unvec(vector, self.sizes)

    def change(self, delta):
        return oracles.model_change(self.curvature, self.slope, delta).item()
