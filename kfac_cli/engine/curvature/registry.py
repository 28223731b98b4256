"""Options into an approximate inverse Fisher, and a saved one back."""

from typing import Any

from kfac_cli.engine.curvature.block_diagonal import BlockDiagonalInverse
from kfac_cli.engine.curvature.block_tridiagonal import BlockTridiagonalInverse
from kfac_cli.engine.curvature.exact_tikhonov import ExactTikhonovInverse
from kfac_cli.engine.curvature.factors import KroneckerFactors
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.options import check_inverse_options
from kfac_cli.errors import choose

Inverse = BlockDiagonalInverse | ExactTikhonovInverse | BlockTridiagonalInverse


def make_inverse(
    factors: KroneckerFactors,
    gamma: float,
    *,
    kind: str = "block_tridiagonal",
    tikhonov: str = "factored",
    pi: str = "trace",
    sigma_solver: str = "decomposition",
    fallbacks: Fallbacks | None = None,
) -> Inverse:
    """The approximate inverse Fisher that the options name, damped with strength γ.

    The names are those of `KFACOptions`, `kind` being its `inverse`: `block_tridiagonal` (4.3) or
    `block_diagonal` (4.2). tikhonov: `factored` (eqn 7) or, for block_diagonal, `exact` (eqn 6).
    pi: the norm behind π_i (6.3), `trace`, `frobenius` or `spectral`, or `one` for π_i = 1.
    sigma_solver: `decomposition` or `doubling` (appendix B), for block_tridiagonal. `fallbacks`
    counts what rounding forces. Raises ValueError as `check_inverse_options` does.
    """
    check_inverse_options(kind, tikhonov=tikhonov, pi=pi, sigma_solver=sigma_solver)
    if tikhonov == "exact":
        return ExactTikhonovInverse(factors, gamma, fallbacks=fallbacks)
    if kind == "block_diagonal":
        return BlockDiagonalInverse(factors, gamma, pi=pi, fallbacks=fallbacks)
    return BlockTridiagonalInverse(
        factors, gamma, pi=pi, sigma_solver=sigma_solver, fallbacks=fallbacks
    )


def inverse_from_state_dict(state: dict[str, Any]) -> Inverse:
    """The inverse whose `state_dict` this is. Raises ValueError if it is none of the engine's."""
    classes: tuple[type[Inverse], ...] = (
        BlockDiagonalInverse,
        ExactTikhonovInverse,
        BlockTridiagonalInverse,
    )
    return choose("type", state["type"], {c.__name__: c for c in classes}).from_state_dict(state)
