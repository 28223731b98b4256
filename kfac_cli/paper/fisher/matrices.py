"""F, its approximations and their inverses for the example network, as explicit matrices.

What is examined is the engine's: F̆⁻¹ and F̂⁻¹ are the linear maps that K-FAC multiplies gradients
by. What it is held against is not: F̃ and the inverses of F and F̃ are made from explicit matrices.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kfac_cli.engine.curvature.block_diagonal import BlockDiagonalInverse
from kfac_cli.engine.curvature.block_tridiagonal import BlockTridiagonalInverse
from kfac_cli.engine.curvature.dense import Statistics, blocks, f_tilde, matrix_of, tridiagonal
from kfac_cli.engine.curvature.factors import KroneckerFactors
from kfac_cli.engine.curvature.tikhonov import factored_tikhonov
from kfac_cli.engine.dense_fisher import DenseFisher
from kfac_cli.paper.fisher.cumulants import error_bound
from kfac_cli.paper.fisher.example import Example


@dataclass(frozen=True)
class Matrices:
    """Matrices (n, n) over the middle layers, whose blocks are at `where`.

    `exact` is F, `tilde` F̃, `breve` F̆, `hat` F̂, and `bound` the bound of |F - F̃| by cumulants. The
    inverses are damped by factored Tikhonov; for that of F, of which it has no form, what it adds
    to F̃ is added.
    """

    where: list[slice]
    exact: Tensor
    tilde: Tensor
    breve: Tensor
    hat: Tensor
    bound: Tensor
    exact_inverse: Tensor
    tilde_inverse: Tensor
    breve_inverse: Tensor
    hat_inverse: Tensor


def matrices_of(example: Example, say: Callable[[str], None]) -> Matrices:
    """Compute them; the expectations are over all training cases and the model's own labels."""
    total, told = len(example.inputs), 0

    def report(cases: int) -> None:
        nonlocal told
        if cases * 10 // total > told:
            told = cases * 10 // total
            say(f"exact Fisher: {cases:,} of {total:,} cases")

    fisher = DenseFisher.of(
        example.network, example.parameters, example.inputs, example.layers, report
    )
    return from_fisher(fisher, example.chain, example.gamma, example.pi)


def from_fisher(
    fisher: DenseFisher, chain: tuple[int, ...], gamma: float, pi: str = "trace"
) -> Matrices:
    """The matrices for a chain of layers between layers of these widths; γ is `gamma`."""
    factors = tridiagonal(fisher.statistics, KroneckerFactors)
    tilde = f_tilde(fisher.statistics)
    damped = f_tilde(_damped(fisher.statistics, factors, gamma, pi))

    def multiplied(
        inverse: type[BlockDiagonalInverse | BlockTridiagonalInverse], gamma: float
    ) -> Tensor:
        return matrix_of(inverse(factors, gamma, pi=pi).multiply, chain)

    return Matrices(
        where=blocks(chain),
        exact=fisher.matrix,
        tilde=tilde,
        breve=torch.linalg.inv(multiplied(BlockDiagonalInverse, 0)),
        hat=torch.linalg.inv(multiplied(BlockTridiagonalInverse, 0)),
        bound=error_bound(fisher),
        exact_inverse=torch.linalg.inv(fisher.matrix + damped - tilde),
        tilde_inverse=torch.linalg.inv(damped),
        breve_inverse=multiplied(BlockDiagonalInverse, gamma),
        hat_inverse=multiplied(BlockTridiagonalInverse, gamma),
    )


def _damped(statistics: Statistics, factors: KroneckerFactors, gamma: float, pi: str) -> Statistics:
    """The statistics with damped diagonal blocks (eqn 7)."""
    return Statistics(
        *(
            [
                [diagonal[i] if i == j else block for j, block in enumerate(row)]
                for i, row in enumerate(rows)
            ]
            for rows, diagonal in zip(
                statistics, factored_tikhonov(factors, gamma, pi), strict=True
            )
        )
    )
