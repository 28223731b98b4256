"""Cholesky factorisation with pivots, which finds the rank of a semi-definite matrix.

N. J. Higham, "Analysis of the Cholesky decomposition of a semi-definite matrix", 1990.
"""

import torch
from torch import Tensor

BETWEEN_LOOKS = 32
"""Pivots after which the host looks at what is left: a GPU would wait for it each time."""

ROUNDING = 16
"""In how many units of eps of the largest diagonal entry the entries have rounding errors."""


def low_rank_rows(matrix: Tensor, most: int, eps: float) -> Tensor | None:
    """Rows L (r, d) with LᵀL = M up to rounding errors of relative size `eps`, in the dtype of M.

    M (d, d) is symmetric and positive semi-definite. Its rank is r or, since some rows may be 0,
    less. None if it is more than `most`. O(d r²).
    """
    left = matrix.diagonal().clone()
    limit = ROUNDING * eps * left.max()
    rows = matrix.new_zeros(most, len(matrix))
    for count in range(most):
        if count % BETWEEN_LOOKS == 0 and not bool(left.max() > limit):
            return rows[:count]
        pivot, before = left.argmax(dim=0, keepdim=True), rows[:count]
        known = before.index_select(1, pivot).squeeze(1) @ before
        entry = left.index_select(0, pivot)
        scale = torch.where(entry > limit, entry.rsqrt(), 0.0)
        torch.mul(matrix.index_select(0, pivot).squeeze(0) - known, scale, out=rows[count])
        left.sub_(rows[count].square()).clamp_min_(0).index_fill_(0, pivot, 0.0)
    return None if bool(left.max() > limit) else rows
