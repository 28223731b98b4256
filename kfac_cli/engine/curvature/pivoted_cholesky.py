"""Cholesky factorisation with pivots, which finds the rank of a semi-definite matrix.

N. J. Higham, "Analysis of the Cholesky decomposition of a semi-definite matrix", 1990. There the
pivot is the largest entry that is left on the diagonal; here it is the one of which the largest
share is left, as if M were scaled to a diagonal of 1. So coordinates of any size count alike, as
rounding errors are relative to the coordinate's own size.
"""

import torch
from torch import Tensor

BETWEEN_LOOKS = 32
"""Pivots after which the host looks at what is left: a GPU would wait for it each time."""

ROUNDING = 16
"""How much of a diagonal entry is rounding errors of what it was summed from, in units of eps: sums
over hundreds of cases in float32 have up to 5."""


def low_rank_rows(matrix: Tensor, most: int, eps: float) -> Tensor | None:
    """Rows L (r, d) with LᵀL = M but for rounding errors, at most d·`eps` in M scaled to ones.

    M (d, d) is symmetric; L is in its dtype. The rank of M is r or, since the last rows may be 0,
    less. None if it is more than `most`, or if M is not positive semi-definite. O(d² r).
    """
    whole = matrix.diagonal().clamp_min(torch.finfo(matrix.dtype).tiny)
    left, limit = matrix.diagonal().clone(), ROUNDING * eps
    rows = matrix.new_zeros(most, len(matrix))
    found = most
    for count in range(most):
        share, pivot = (left / whole).max(dim=0, keepdim=True)
        if count % BETWEEN_LOOKS == 0 and not bool(share > limit):
            found = count
            break
        before, entry = rows[:count], left.index_select(0, pivot)
        known = before.index_select(1, pivot).squeeze(1) @ before
        scale = torch.where(share > limit, entry.rsqrt(), 0.0)
        torch.mul(matrix.index_select(0, pivot).squeeze(0) - known, scale, out=rows[count])
        left.sub_(rows[count].square()).index_fill_(0, pivot, 0.0)
    if bool((left / whole).max() > limit):
        return None
    rows = rows[:found]
    remainder = (matrix - rows.T @ rows).abs_().div_(whole.sqrt()).div_(whole.sqrt()[:, None])
    return rows if bool(remainder.max() <= len(matrix) * eps) else None
