"""Explicit matrices over the parameters of a few layers, for examination and for tests.

The paper's formulas in their simplest form. The parameters are one vector, the concatenated
vec(W_i), where vec stacks columns (section 2.1). Nothing of the fast code that these matrices are
compared with is used here.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from kfac_cli.errors import UserError

Factors = TypeVar("Factors")

MAX_PARAMETERS = 6000
"""The largest dense matrix: 6000 rows take 288 MB in float64, and a study has a dozen of them."""


class Statistics(NamedTuple):
    """Every second moment: activation[i][j] = Ā_{i,j}, gradient[i][j] = G_{i+1,j+1}."""

    activation: list[list[Tensor]]
    gradient: list[list[Tensor]]


def check_size(parameters: int, setting: str) -> None:
    """Raise UserError for more parameters than fit; `setting` names what decides their number."""
    if parameters > MAX_PARAMETERS:
        raise UserError(
            f"{setting}: these layers have {parameters} parameters, and a dense matrix over them "
            f"{parameters}² entries; choose narrower layers, {MAX_PARAMETERS} parameters at most"
        )


def vec(matrices: Iterable[Tensor]) -> Tensor:
    """Stack the columns of every matrix: θ of section 2.1."""
    return torch.cat([matrix.T.reshape(-1) for matrix in matrices])


def blocks(layer_sizes: Sequence[int]) -> list[slice]:
    """The position of each vec(W_i) in θ; `layer_sizes` are those of a chain of layers."""
    ends = [0]
    for inputs, outputs in pairwise(layer_sizes):
        ends.append(ends[-1] + (inputs + 1) * outputs)
    return [slice(first, last) for first, last in pairwise(ends)]


def unvec(theta: Tensor, layer_sizes: Sequence[int]) -> list[Tensor]:
    """Undo vec: the W_i of shape (d_i, d_{i-1} + 1)."""
    return [
        theta[block].reshape(inputs + 1, outputs).T.contiguous()
        for block, (inputs, outputs) in zip(blocks(layer_sizes), pairwise(layer_sizes), strict=True)
    ]


def f_tilde(statistics: Statistics) -> Tensor:
    """F̃, the Khatri-Rao product of section 3, (n, n): its blocks are Ā_{i-1,j-1} ⊗ G_{i,j}."""

    def block(a: Tensor, g: Tensor) -> Tensor:
        return torch.kron(a.contiguous(), g.contiguous())  # kron rejects some strides

    rows = zip(statistics.activation, statistics.gradient, strict=True)
    return torch.cat(
        [torch.cat([block(a, g) for a, g in zip(*row, strict=True)], dim=1) for row in rows]
    )


def tridiagonal(statistics: Statistics, container: Callable[..., Factors]) -> Factors:
    """The engine's `KroneckerFactors`, the container: Ā_{i,i}, G_{i,i}, Ā_{i,i+1} and G_{i,i+1}."""
    layers = range(len(statistics.activation))
    return container(
        activation=[statistics.activation[i][i] for i in layers],
        gradient=[statistics.gradient[i][i] for i in layers],
        activation_next=[statistics.activation[i][i + 1] for i in layers[:-1]],
        gradient_next=[statistics.gradient[i][i + 1] for i in layers[:-1]],
    )


def matrix_of(
    multiply: Callable[[list[Tensor]], list[Tensor]], layer_sizes: Sequence[int]
) -> Tensor:
    """The (n, n) float64 matrix of a linear map between vectors shaped like the parameters."""
    units = torch.eye(blocks(layer_sizes)[-1].stop, dtype=torch.float64)
    columns = [vec(multiply(unvec(unit, layer_sizes))) for unit in units]
    return torch.stack(columns, dim=1)
