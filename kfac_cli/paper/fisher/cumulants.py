"""The error of F̃ and its bound by cumulants (section 3.1)."""

from itertools import pairwise

import torch
from torch import Tensor

from kfac_cli.engine.curvature.dense import f_tilde
from kfac_cli.engine.dense_fisher import DenseFisher


def error_bound(fisher: DenseFisher) -> Tensor:
    """The right side of eqn 4 for every pair of weights, (n, n).

    With D[W_i]_{k1,k2} = a₁g₁ and D[W_j]_{k3,k4} = a₂g₂ it is |κ(a₁,a₂,g₁,g₂)| +
    |E[a₁]| |κ(a₂,g₁,g₂)| + |E[a₂]| |κ(a₁,g₁,g₂)|. By Lemma 4, E[g] = E[ag] = 0, so that
    κ(a,g₁,g₂) = E[a g₁g₂] - E[a] E[g₁g₂], and κ(a₁,a₂,g₁,g₂) is what eqn 3 leaves.
    """
    heights = [row[0].shape[0] for row in fisher.statistics.gradient]
    widths = [len(mean) for mean in fisher.units]
    ends = [0, *torch.tensor(heights).cumsum(0).tolist()]
    # Which g, and which E[a], belongs to a weight; vec stacks columns.
    g = torch.cat(
        [
            torch.arange(*span).repeat(width)
            for span, width in zip(pairwise(ends), widths, strict=True)
        ]
    )
    mean = torch.cat(
        [m.repeat_interleave(height) for m, height in zip(fisher.units, heights, strict=True)]
    )
    gradient = torch.cat([torch.cat(row, 1) for row in fisher.statistics.gradient])
    first = fisher.mixed[:, g] - mean[:, None] * gradient[g][:, g]  # κ(a₁, g₁, g₂)
    second = mean[None, :] * first  # E[a₂] κ(a₁, g₁, g₂)
    fourth = fisher.matrix - f_tilde(fisher.statistics) - second - second.T
    return fourth.abs() + second.abs() + second.T.abs()
