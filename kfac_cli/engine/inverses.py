"""Options into an approximate inverse Fisher, and a saved one back."""

from typing import Any

from kfac_cli.engine.block_diagonal import BlockDiagonalInverse
from kfac_cli.engine.block_tridiagonal import SIGMA_SOLVERS, BlockTridiagonalInverse
from kfac_cli.engine.choices import check_choice, choose
from kfac_cli.engine.damping import PI_RULES
from kfac_cli.engine.exact_tikhonov import ExactTikhonovInverse
from kfac_cli.engine.factors import KroneckerFactors
from kfac_cli.engine.fallbacks import Fallbacks

Inverse = BlockDiagonalInverse | ExactTikhonovInverse | BlockTridiagonalInverse

STRUCTURES = ("block_tridiagonal", "block_diagonal")
TIKHONOV = ("factored", "exact")


def check_inverse_options(
    inverse: str,
    *,
    tikhonov: str = "factored",
    pi: str = "trace",
    sigma_solver: str = "decomposition",
) -> None:
    """Raise ValueError, naming the option, for an unknown value or a pair that has no meaning."""
    check_choice("inverse", inverse, STRUCTURES)
    check_choice("tikhonov", tikhonov, TIKHONOV)
    check_choice("pi", pi, PI_RULES)
    check_choice("sigma_solver", sigma_solver, SIGMA_SOLVERS)
    if tikhonov == "exact" and inverse != "block_diagonal":
        raise ValueError(
            f"tikhonov='exact': needs block_diagonal, not {inverse}, whose exactly damped form "
            "has no efficient inverse"
        )
    if tikhonov == "exact" and pi != "trace":
        raise ValueError(f"pi={pi!r}: exact Tikhonov damping has no π; leave it at 'trace'")
    if sigma_solver != "decomposition" and inverse != "block_tridiagonal":
        raise ValueError(f"sigma_solver={sigma_solver!r}: needs block_tridiagonal, not {inverse}")


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
