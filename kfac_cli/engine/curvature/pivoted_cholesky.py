"""Cholesky factorisation with pivots, which finds the rank of a semi-definite matrix.

N. J. Higham, "Analysis of the Cholesky decomposition of a semi-definite matrix", 1990.
"""

import torch
from torch import Tensor

BETWEEN_LOOKS = 32
"""Pivots after which the host looks at what is left: a GPU would wait for it each time."""

ROUNDING = 16
"""How much of a diagonal entry is rounding errors of what it was summed from, in units of eps."""


def low_rank_rows(matrix: Tensor, most: int, eps: float) -> Tensor | None:
    """Rows L (r, d) with LᵀL = M but for rounding errors of relative size `eps` in each coordinate.

    M (d, d) is symmetric and positive semi-definite; L is in its dtype. The rank of M is r or,
    since the last rows may be 0, less. None if it is more than `most`. O(d r²).
    """
    left = matrix.diagonal().clone()
    whole, limit = left.clamp_min(torch.finfo(matrix.dtype).tiny), ROUNDING * eps
    rows = matrix.new_zeros(most, len(matrix))
    for count in range(most):
        share, pivot = (left / whole).max(dim=0, keepdim=True)
        if count % BETWEEN_LOOKS == 0 and not bool(share > limit):
            return rows[:count]
        before, entry = rows[:count], left.index_select(0, pivot)
        known = before.index_select(1, pivot).squeeze(1) @ before
        scale = torch.where(share > limit, entry.rsqrt(), 0.0)
        torch.mul(matrix.index_select(0, pivot).squeeze(0) - known, scale, out=rows[count])
        left.sub_(rows[count].square()).clamp_min_(0).index_fill_(0, pivot, 0.0)
    return None if bool((left / whole).max() > limit) else rows
