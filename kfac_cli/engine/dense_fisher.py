"""The exact Fisher of a few layers as an explicit matrix, and the moments that belong to it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kfac_cli.engine.curvature.dense import Statistics, check_size
from kfac_cli.engine.model.network import Activations, Network
from kfac_cli.engine.model.statistics import StatisticsRequest, output_gradients
from kfac_cli.engine.parameters import Parameters

CASES_AT_ONCE = 500


@dataclass(frozen=True)
class DenseFisher:
    """Means over cases and over the model's targets, for consecutive layers with n parameters.

    `matrix` (n, n) is F = E[Dθ Dθᵀ]; `statistics` are Ā and G of every pair of layers; `units` are
    E[ā_{i-1}] of each layer; `mixed` (n, Σd_i) is E[Dθ gᵀ], where g are the layers' g_i, one after
    the other. All float64; the order of the parameters is that of `curvature/dense.py`.
    """

    matrix: Tensor
    statistics: Statistics
    units: list[Tensor]
    mixed: Tensor

    @classmethod
    def of(
        cls,
        network: Network,
        parameters: Parameters,
        inputs: Tensor,
        layers: Sequence[int],
        report: Callable[[int], None] = lambda cases: None,
    ) -> "DenseFisher":
        """Compute them over `inputs` (N, d_0) for consecutive `layers`, the first layer being 0.

        The expectation over targets is in closed form, by a backward pass for each output.
        `report` is told how many cases are done. Raises UserError for layers that are too large.
        """
        shapes = [network.parameter_shapes[layer] for layer in layers]
        size = sum(p * q for p, q in shapes)
        check_size(size, f"layer_sizes={list(network.layer_sizes)}")
        # Another network: the products of this one may be for float32 only.
        plain = Network(network.layer_sizes, network.activations, network.output)
        weights = [w.to("cpu", torch.float64) for w in parameters]
        widths, heights = [q for _, q in shapes], [p for p, _ in shapes]
        fisher = torch.zeros(size, size, dtype=torch.float64)
        mixed = fisher.new_zeros(size, sum(heights))
        gradients = fisher.new_zeros(sum(heights), sum(heights))
        activities = fisher.new_zeros(sum(widths), sum(widths))
        units = fisher.new_zeros(sum(widths))
        for first in range(0, len(inputs), CASES_AT_ONCE):
            chunk = inputs[first : first + CASES_AT_ONCE].to("cpu", torch.float64)
            forward = plain.forward(weights, chunk)
            below = [forward.homogeneous[layer] for layer in layers]
            together = torch.cat(below, 1)
            activities.addmm_(together.T, together)
            units += together.sum(0)
            for backward in _backward_passes(plain, weights, forward):
                above = [backward[layer] for layer in layers]
                g = torch.cat(above, 1)
                rows = torch.cat([_rows(*pair) for pair in zip(below, above, strict=True)], 1)
                fisher.addmm_(rows.T, rows)
                mixed.addmm_(rows.T, g)
                gradients.addmm_(g.T, g)
            report(first + len(chunk))
        for total in (fisher, mixed, gradients, activities, units):
            total /= len(inputs)
        moments = Statistics(_grid(activities, widths), _grid(gradients, heights))
        return cls(fisher, moments, list(torch.split(units, widths)), mixed)


def _backward_passes(
    network: Network, parameters: Parameters, forward: Activations
) -> Iterator[list[Tensor]]:
    """g_1 … g_ℓ of passes whose sum of g gᵀ is the expectation over the model's targets."""
    request = StatisticsRequest(forward.cases, False, (), "exact")
    logits = forward.logits
    for output_gradient in output_gradients(network, logits, logits, 0, request):
        yield network.backward(parameters, forward, output_gradient)


def _rows(activities: Tensor, gradients: Tensor) -> Tensor:
    """vec(DW_i) = ā_{i-1} ⊗ g_i of every case, (m, (d_{i-1} + 1) d_i)."""
    return torch.einsum("ka,kg->kag", activities, gradients).flatten(1)


def _grid(matrix: Tensor, sizes: Sequence[int]) -> list[list[Tensor]]:
    """The blocks of a matrix."""
    return [list(torch.split(row, list(sizes), 1)) for row in torch.split(matrix, list(sizes), 0)]
