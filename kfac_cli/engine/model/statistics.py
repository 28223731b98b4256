"""The statistics Ā and G of some cases, by backward passes from chosen targets (section 5)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from kfac_cli.engine.curvature.eigen_statistics import Bases, ScalingSums
from kfac_cli.engine.curvature.factors import KroneckerFactors, sum_over_cases
from kfac_cli.engine.model.network import Activations, Network
from kfac_cli.engine.model.sampling import noise_for_cases
from kfac_cli.engine.parameters import Parameters


@dataclass(frozen=True)
class StatisticsRequest:
    """Which statistics to compute, from the first `cases` of a mini-batch.

    `neighbours` adds the blocks that the block-tridiagonal inverse needs. `fisher`: `sampled` uses
    targets from the model (section 5), one per case for each of `seeds`; `exact` the expectation
    over the model's targets, by d_ℓ backward passes; `empirical` the training targets. `bases` adds
    the scalings in these bases.
    """

    cases: int
    neighbours: bool
    seeds: tuple[int, ...]
    fisher: str = "sampled"
    bases: Bases | None = None


def sum_of_statistics(
    network: Network,
    parameters: Parameters,
    activations: Activations,
    targets: Tensor,
    first: int,
    request: StatisticsRequest,
) -> KroneckerFactors:
    """Sums over a chunk's cases, of which `first` is the index of the first in the mini-batch.

    `activations` are those of the cases, `targets` (at least as many, d_ℓ) the training targets.
    """
    products, homogeneous = network.products, activations.homogeneous
    bases = request.bases
    scalings = None if bases is None else ScalingSums(bases, homogeneous, products)
    passes = output_gradients(network, activations.logits, targets, first, request)
    backward = network.backward(parameters, activations, next(passes))
    sums = sum_over_cases(homogeneous, backward, request.neighbours, products)
    if scalings is not None:
        scalings.add_(backward)
    for output_gradient in passes:
        backward = network.backward(parameters, activations, output_gradient)
        sums.add_gradients_(backward, products)
        if scalings is not None:
            scalings.add_(backward)
    scale = 1 / len(request.seeds) if request.fisher == "sampled" else 1
    if request.fisher == "sampled":
        sums.scale_gradients_(scale)
    return sums if scalings is None else scalings.beside(sums, scale)


def output_gradients(
    network: Network, logits: Tensor, targets: Tensor, first: int, request: StatisticsRequest
) -> Iterator[Tensor]:
    """The g_ℓ (m, d_ℓ) from which the statistics' backward passes start."""
    distribution = network.distribution
    cases, width = logits.shape
    if request.fisher == "empirical":
        yield distribution.gradient(logits, targets[:cases])
    elif request.fisher == "exact":
        # F_R = BᵀB is the sum over outputs j of (Bᵀe_j)(Bᵀe_j)ᵀ.
        for output in range(width):
            unit = torch.zeros_like(logits)
            unit[:, output] = 1
            yield distribution.fisher_root_transpose(logits, unit)
    else:
        for seed in request.seeds:
            noise = noise_for_cases(distribution, first, first + cases, width, seed, logits)
            yield distribution.gradient(logits, distribution.sample(logits, noise))
