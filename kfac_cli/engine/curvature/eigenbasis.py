"""Eigendecompositions of Kronecker factors, in float64 (appendix B)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from kfac_cli.engine.curvature.factorization import finite
from kfac_cli.engine.curvature.parallel import side_by_side
from kfac_cli.engine.curvature.pivoted_cholesky import low_rank_rows
from kfac_cli.engine.curvature.tikhonov import symmetrized

SMALLEST_OF_LOW_RANK = 600
"""Rows from which on a low rank saves time, on a CPU: with 785 and 1,000 half of it to four fifths,
while a search that finds none adds a fifth. Not measured on a GPU."""

RANK_SHARE = 3
"""A rank is low if it is at most one in so many rows."""


class Eigenbasis(NamedTuple):
    """Of a positive semi-definite matrix: eigenvalues, ascending, in float64, and eigenvectors."""

    values: Tensor
    vectors: Tensor


def eigenbases(matrices: Sequence[Tensor], *, few_cases: bool = False) -> list[Eigenbasis]:
    """The eigendecomposition of each symmetric matrix. Raises ValueError if one is not finite.

    `few_cases` says that they may be of fewer cases than rows, as the factors of the first
    iterations, and so of a low rank, which is then looked for.
    """
    return side_by_side(lambda matrix: _eigenbasis(matrix, few_cases), matrices, lambda m: m)


def _eigenbasis(matrix: Tensor, few_cases: bool) -> Eigenbasis:
    wide = finite(symmetrized(matrix.to(torch.float64)))
    size = len(wide)
    if few_cases and size >= SMALLEST_OF_LOW_RANK:
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
