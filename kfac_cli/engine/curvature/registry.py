"""The approximate inverse Fisher from options or from a saved state."""

from typing import Any

from kfac_cli.engine.curvature.block_diagonal import BlockDiagonalInverse
from kfac_cli.engine.curvature.block_tridiagonal import BlockTridiagonalInverse
from kfac_cli.engine.curvature.exact_tikhonov import ExactTikhonovInverse
from kfac_cli.engine.curvature.factors import KroneckerFactors
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.options import KFACOptions
from kfac_cli.errors import choose

Inverse = BlockDiagonalInverse | ExactTikhonovInverse | BlockTridiagonalInverse


def make_inverse(
    factors: KroneckerFactors,
    gamma: float,
    options: KFACOptions,
    fallbacks: Fallbacks | None = None,
) -> Inverse:
    """The approximate inverse Fisher that the options describe, damped with strength γ."""
    if options.tikhonov == "exact":
        return ExactTikhonovInverse(factors, gamma, fallbacks=fallbacks)
    if options.inverse == "block_diagonal":
        return BlockDiagonalInverse(factors, gamma, pi=options.pi, fallbacks=fallbacks)
    return BlockTridiagonalInverse(
        factors, gamma, pi=options.pi, sigma_solver=options.sigma_solver, fallbacks=fallbacks
    )


def inverse_from_state_dict(state: dict[str, Any]) -> Inverse:
    """Restore an inverse from its `state_dict`; raises ValueError for an unknown type."""
    classes: tuple[type[Inverse], ...] = (
        BlockDiagonalInverse,
        ExactTikhonovInverse,
        BlockTridiagonalInverse,
    )
    return choose("type", state["type"], {c.__name__: c for c in classes}).from_state_dict(state)
