"""Section 4.3: F-hat^-1 is the precision of a Gaussian graphical model over the layers.

F-hat has the tridiagonal blocks of F-tilde and a block-tridiagonal inverse. It is the covariance
of a directed model that generates D W_l, then each D W_i from D W_{i+1}; these blocks determine it;
and it has the largest entropy of all covariances with these blocks.
"""

from itertools import pairwise

import pytest
import torch
from engine import oracles
from engine.oracles import Architecture, problem
from torch.autograd.functional import hessian
from torch.func import grad

from kfac_cli.engine import BlockTridiagonalInverse, Network

from .helpers import dense, model_passes

CHAIN = Architecture((2, 2, 2, 2), ("tanh", "tanh"), "gaussian")
RELU = Architecture((3, 3, 2, 2), ("relu", "relu"), "bernoulli")
DEEP = Architecture((3, 2, 2, 2, 2), ("tanh", "tanh", "tanh"), "bernoulli")
EVERY = pytest.mark.parametrize("architecture", [CHAIN, RELU, DEEP], ids=str)
CASES = 40


class Model:
    """F-tilde, from the statistics alone, and F-hat, from the engine's undamped inverse."""

    def __init__(self, architecture):
        small = problem(architecture, CASES)
        parameters = oracles.unvec(small.theta, architecture.layer_sizes)
        factors = model_passes(Network(*architecture), parameters, small.inputs).factors()
        self.where = oracles.blocks(architecture.layer_sizes)
        exact = oracles.exact_cases(*small[:3])
        self.tilde = oracles.f_tilde(oracles.statistics(architecture, small.theta, *exact))
        precision = dense(BlockTridiagonalInverse(factors, 0.0), architecture.layer_sizes)
        self.precision = precision
        self.hat = torch.linalg.inv(precision)

    def block(self, i, j):
        """F-tilde_{i,j}, i and j counted from 0."""
        return self.tilde[self.where[i], self.where[j]]

    def free(self):
        """Mask of the entries above the tridiagonal blocks, which the definition leaves free."""
        mask = torch.zeros_like(self.tilde, dtype=torch.bool)
        for i, row in enumerate(self.where):
            for column in self.where[i + 2 :]:
                mask[row, column] = True
        return mask

    def completed(self, entries):
        """The symmetric matrix with F-tilde's tridiagonal blocks and `entries` elsewhere."""
        free = self.free()
        upper = torch.zeros_like(self.tilde).masked_scatter(free, entries)
        return torch.where(free | free.T, 0, self.tilde) + upper + upper.T


@EVERY
def test_f_hat_is_defined_by_blocks_and_by_the_structure_of_its_inverse(architecture):
    model = Model(architecture)
    assert oracles.relative_error(model.completed(model.hat[model.free()]), model.hat) < 1e-8
    assert not model.precision[model.free()].any()
    assert oracles.relative_error(model.tilde, model.hat) > 1e-3  # but not the other blocks


@EVERY
@pytest.mark.parametrize("downwards", [True, False], ids=["from the top", "from the bottom"])
def test_f_hat_is_the_covariance_of_a_directed_model(architecture, downwards):
    """vec(DW_i) = Psi vec(DW_next) + noise of covariance Sigma, whichever way the edges point.

    The paper's direction is from the higher layers to the lower.
    """
    model = Model(architecture)
    order = list(range(len(model.where)))
    if downwards:
        order.reverse()
    samplers = [torch.linalg.cholesky(model.block(order[0], order[0]))]  # unit noise to DW
    for before, layer in pairwise(order):
        cross = model.block(layer, before)
        psi = cross @ torch.linalg.inv(model.block(before, before))
        conditional = model.block(layer, layer) - psi @ cross.T
        samplers.append(torch.cat([psi @ samplers[-1], torch.linalg.cholesky(conditional)], 1))
    size = len(model.tilde)
    generate = torch.zeros(size, size, dtype=torch.float64)
    for layer, rows in zip(order, samplers, strict=True):
        generate[model.where[layer], : rows.shape[1]] = rows
    assert oracles.relative_error(generate @ generate.T, model.hat) < 1e-8
    assert oracles.relative_error(torch.linalg.inv(generate @ generate.T), model.precision) < 1e-8


@EVERY
def test_layers_are_independent_given_the_layer_between(architecture):
    """As in the directed model: Cov(DW_i, DW_{i+2} | DW_{i+1}) = 0."""
    model = Model(architecture)
    for low, middle, high in zip(model.where, model.where[1:], model.where[2:], strict=False):
        through = model.hat[low, middle] @ torch.linalg.solve(
            model.hat[middle, middle], model.hat[middle, high]
        )
        assert oracles.relative_error(through, model.hat[low, high]) < 1e-8


@EVERY
def test_no_covariance_with_these_blocks_has_more_entropy(architecture):
    """log det F-hat is the maximum over the other blocks: any change of them decreases it."""
    model = Model(architecture)
    entries = model.hat[model.free()]

    def entropy(values):
        return torch.linalg.slogdet(model.completed(values)).logabsdet

    best = entropy(entries)
    smallest = torch.linalg.eigvalsh(model.hat)[0]
    assert grad(entropy)(entries).abs().max() < 1e-8 * torch.linalg.inv(model.hat).norm()
    assert entropy(model.tilde[model.free()]) < best
    for seed in range(20):
        change = oracles.some_vector(len(entries), seed)
        for size in (0.1, 0.9):  # below 1, the matrix is still positive definite
            assert entropy(entries + size * smallest * change / change.norm()) < best


@pytest.mark.parametrize("architecture", [CHAIN, DEEP], ids=str)
def test_maximising_the_entropy_leads_from_f_tilde_to_f_hat(architecture):
    """Newton's method, damped as for self-concordant functions. The maximum is unique."""
    model = Model(architecture)
    entries = model.tilde[model.free()]

    def entropy(values):
        return torch.linalg.slogdet(model.completed(values)).logabsdet

    for _ in range(40):
        slope = grad(entropy)(entries)
        step = -torch.linalg.solve(hessian(entropy, entries), slope)
        decrement = (slope @ step).clamp_min(0).sqrt()
        entries = entries + step / (1 + decrement)
    assert oracles.relative_error(model.completed(entries), model.hat) < 1e-6
