"""Blocks of a matrix over the parameters of a chain of layers, and the parts that they make up."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Parts:
    """A number for the blocks on the diagonal, for those next to it, and for those beyond."""

    diagonal: float
    neighbours: float
    beyond: float

    @property
    def shares(self) -> "Parts":
        """The same numbers as parts of their sum."""
        total = self.diagonal + self.neighbours + self.beyond
        return Parts(self.diagonal / total, self.neighbours / total, self.beyond / total)


def block_means(matrix: Tensor, where: Sequence[slice]) -> Tensor:
    """The mean absolute entry of every block, (layers, layers)."""
    rows = [[matrix[i, j].abs().mean() for j in where] for i in where]
    return torch.stack([torch.stack(row) for row in rows])


def distances(layers: int) -> Tensor:
    """|i - j| of every block, (layers, layers)."""
    index = torch.arange(layers)
    return (index[:, None] - index[None, :]).abs()


def mean_parts(matrix: Tensor, where: Sequence[slice]) -> Parts:
    """The mean absolute entry of the blocks of each part, all blocks counting the same."""
    means, apart = block_means(matrix, where), distances(len(where))
    return Parts(*(float(means[chosen].mean()) for chosen in (apart == 0, apart == 1, apart > 1)))


def largest_within(matrix: Tensor, where: Sequence[slice], distance: int) -> float:
    """The largest absolute entry of the blocks with |i - j| up to `distance`."""
    return max(
        float(matrix[rows, columns].abs().max())
        for i, rows in enumerate(where)
        for j, columns in enumerate(where)
        if abs(i - j) <= distance
    )
