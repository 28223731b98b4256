"""Eigendecompositions of Kronecker factors, in float64 (appendix B)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from kfac_cli.engine.curvature.factorization import finite
from kfac_cli.engine.curvature.parallel import side_by_side
from kfac_cli.engine.curvature.pivoted_cholesky import low_rank_rows
from kfac_cli.engine.curvature.tikhonov import symmetrized

SMALLEST_OF_LOW_RANK = 256
"""Rows from which on looking for a low rank takes less time than it saves."""

RANK_SHARE = 3
"""A rank is low if it is at most one in so many rows: a decomposition by it then takes a tenth to a
half of the time, and the search for a low rank that is not there adds a tenth."""


class Eigenbasis(NamedTuple):
    """Of a positive semi-definite matrix: eigenvalues, ascending, in float64, and eigenvectors."""

    values: Tensor
    vectors: Tensor


def eigenbases(matrices: Sequence[Tensor]) -> list[Eigenbasis]:
    """The eigendecomposition of each symmetric matrix. Raises ValueError if one is not finite.

    In the first iterations a factor is made of fewer cases than it has rows, and so has a low rank.
    """
    return side_by_side(_eigenbasis, matrices, lambda matrix: matrix)


def _eigenbasis(matrix: Tensor) -> Eigenbasis:
    wide = finite(symmetrized(matrix.to(torch.float64)))
    size = len(wide)
    if size >= SMALLEST_OF_LOW_RANK:
        rows = low_rank_rows(wide, size // RANK_SHARE, torch.finfo(matrix.dtype).eps)
        if rows is not None:
            return _from_rows(rows)
    values, vectors = torch.linalg.eigh(wide)
    return Eigenbasis(values.clamp_min(0), vectors)


def _from_rows(rows: Tensor) -> Eigenbasis:
    """The eigendecomposition of LᵀL for L (r, d), r < d.

    With Lᵀ = QR and RRᵀ = W diag(s) Wᵀ, of r rows, the eigenvectors are QW and what completes Q.
    """
    rank, size = rows.shape
    basis, upper = torch.linalg.qr(rows.T, mode="complete")
    values, turn = torch.linalg.eigh(upper[:rank] @ upper[:rank].T)
    return Eigenbasis(
        torch.cat([values.new_zeros(size - rank), values.clamp_min(0)]),
        torch.cat([basis[:, rank:], basis[:, :rank] @ turn], dim=1),
    )
