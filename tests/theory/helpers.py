"""The quantities in the paper's statements, from the engine's own passes, for small networks.

Expectations are exact: over the given cases and all their possible targets, which
engine/oracles.py enumerates. All in float64.
"""

import sys
from typing import NamedTuple

import torch
from engine import oracles
from torch import Tensor
from torch.func import vmap

from kfac_cli.engine import BlockDiagonalInverse, BlockTridiagonalInverse, KroneckerFactors, Network
from kfac_cli.engine.curvature.dense import matrix_of
from kfac_cli.engine.curvature.factors import sum_over_cases
from kfac_cli.engine.model.minibatch import MiniBatch

UNDAMPED = sys.float_info.min
"""The smallest λ and γ that the options allow: 0 but for rounding."""

INVERSES = {
    "block_diagonal": BlockDiagonalInverse,
    "block_tridiagonal": BlockTridiagonalInverse,
}


class Passes(NamedTuple):
    """Forward and backward passes for K pairs of input and target with probabilities `weights`.

    `units[i]` is abar_i (K, d_i + 1), i = 0 ... l-1; `gradients[i]` is g_{i+1} (K, d_{i+1}).
    """

    units: list[Tensor]
    gradients: list[Tensor]
    weights: Tensor

    def mean(self, values: Tensor) -> Tensor:
        """E[values], for values (K, ...)."""
        return torch.tensordot(self.weights, values, 1)

    def slope(self) -> list[Tensor]:
        """E[D theta], shaped like the parameters: grad h under the training distribution."""
        weighted = [self.weights[:, None] * g for g in self.gradients]
        return [g.T @ a for g, a in zip(weighted, self.units, strict=True)]

    def parameter_gradients(self) -> Tensor:
        """D theta of every pair, (K, n): vec(DW_i) = abar_{i-1} (x) g_i."""
        blocks = [
            torch.einsum("ka,kg->kag", a, g).flatten(1)
            for a, g in zip(self.units, self.gradients, strict=True)
        ]
        return torch.cat(blocks, dim=1)

    def factors(self) -> KroneckerFactors:
        """Abar_{i,j} and G_{i,j} on the tridiagonal."""
        root = self.weights.sqrt()[:, None]
        return sum_over_cases(
            [root * a for a in self.units], [root * g for g in self.gradients], neighbours=True
        )


def passes(
    network: Network, parameters: list[Tensor], inputs: Tensor, targets: Tensor, weights: Tensor
) -> Passes:
    """The network's passes for given inputs, targets and their probabilities."""
    activations = network.forward(parameters, inputs)
    output_gradient = network.distribution.gradient(activations.logits, targets)
    gradients = network.backward(parameters, activations, output_gradient)
    return Passes(activations.homogeneous, gradients, weights)


def model_passes(network: Network, parameters: list[Tensor], inputs: Tensor) -> Passes:
    """The passes under the model's distribution: every input with every possible target."""
    natural = network.forward(parameters, inputs).logits
    targets, probabilities = vmap(lambda z: oracles.exact_targets(network.output, z))(natural)
    repeated = inputs.repeat_interleave(targets.shape[1], 0)
    weights = probabilities.flatten() / len(inputs)
    return passes(network, parameters, repeated, targets.flatten(0, 1), weights)


def training_passes(
    network: Network, parameters: list[Tensor], inputs: Tensor, targets: Tensor
) -> Passes:
    """The passes under the training distribution: every input with its own target."""
    weights = inputs.new_full((len(inputs),), 1 / len(inputs))
    return passes(network, parameters, inputs, targets, weights)


def exact_fisher(problem: oracles.Problem) -> Tensor:
    """The engine's exact Fisher: u^T F v for all pairs of unit vectors."""
    architecture, theta, inputs, targets = problem
    sizes = architecture.layer_sizes
    batch = MiniBatch(Network(*architecture), oracles.unvec(theta, sizes), inputs, targets, 1000)
    units = torch.eye(len(theta), dtype=theta.dtype)
    return batch.fisher_gram([oracles.unvec(unit, sizes) for unit in units], len(inputs))


def dense(
    inverse: BlockDiagonalInverse | BlockTridiagonalInverse, sizes: tuple[int, ...]
) -> Tensor:
    """An approximate inverse Fisher of the engine as an (n, n) matrix."""
    return matrix_of(inverse.multiply, sizes)


def random_invertible(size: int, generator: torch.Generator) -> Tensor:
    """A random matrix with a condition number of at most 4."""

    def orthogonal() -> Tensor:
        noise = torch.randn(size, size, generator=generator, dtype=torch.float64)
        return torch.linalg.qr(noise).Q

    singular = 0.5 + 1.5 * torch.rand(size, generator=generator, dtype=torch.float64)
    return orthogonal() @ singular.diag() @ orthogonal()
