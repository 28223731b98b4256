"""(A⊗B ± C⊗D)⁻¹ by a Smith-type iteration with squaring: matrix products only (appendix B).

u = (A⊗B ± C⊗D)⁻¹v solves the generalised Stein equation B U A ± D U C = V, that is
U = B⁻¹V A⁻¹ ∓ (B⁻¹D) U (C A⁻¹). Iterating this sums a geometric series; squaring the two matrices
doubles the number of terms summed. The squares do not depend on V.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.kronecker import KroneckerSumInverse, symmetrized
from kfac_cli.engine.state_rules import Rule, items, record, square, tensor, up_to, word

MAX_DOUBLINGS = 20
"""Maximum number of squarings: 2²⁰ terms converge for s₁s₂ up to about 1 - 2e-5."""


class DoublingInverse:
    """(A⊗B + sign·C⊗D)⁻¹ by doubling, with the arguments of `KroneckerSumInverse`.

    With H = Xᵀ A⁻¹X, and likewise for B and D, the series is

        (A⊗B ± C⊗D)⁻¹ = A⁻¹⊗B⁻¹ ∓ (P₁⊗P₂) Σₖ (∓H₁⊗H₂)ᵏ (P₁⊗P₂)ᵀ,  P = A⁻¹X.

    H has as many rows as X has columns and is, unlike C A⁻¹, symmetric, so its powers are accurate.
    Where X has more columns than A, R Sᵏ Rᵀ with S = RᵀC R replaces P Hᵏ⁻¹ Pᵀ.

    The powers H^(2ʲ) are computed in float64 until the bound ‖H₁^(2ʲ)‖ ‖H₂^(2ʲ)‖ (Frobenius) on
    the relative size of the series' remainder falls below `dtype`'s eps. The relative error is then
    about eps·cond/(1 - s₁s₂), as by decomposition, for s₁s₂ ≤ 1 - 2e-5. Raises ArithmeticError if
    `MAX_DOUBLINGS` are not enough or the series diverges (s₁s₂ ≥ 1).
    """

    def __init__(
        self,
        a_root: Tensor,
        b_root: Tensor,
        c_root: Tensor,
        d_root: Tensor,
        sign: int,
        dtype: torch.dtype,
    ) -> None:
        first, second = _terms(a_root, c_root), _terms(b_root, d_root)
        powers = _powers(-sign * first.core, second.core, torch.finfo(dtype).eps)
        self.a_inverse = (a_root @ a_root.T).to(dtype)
        self.b_inverse = (b_root @ b_root.T).to(dtype)
        self.a_inner, self.a_outer = first.inner.to(dtype), (-sign * first.outer).to(dtype)
        self.b_inner, self.b_outer = second.inner.to(dtype), second.outer.to(dtype)
        self.a_powers = [power.to(dtype) for power, _ in powers]
        self.b_powers = [power.to(dtype) for _, power in powers]

    def multiply(self, matrix: Tensor) -> Tensor:
        """The product with vec(V), V (dim B, dim A), as a matrix of V's shape."""
        series = self.b_inner.T @ matrix @ self.a_inner
        for a_power, b_power in zip(self.a_powers, self.b_powers, strict=True):
            series = series + b_power @ series @ a_power
        result = self.b_inverse @ matrix @ self.a_inverse
        return result.add_(self.b_outer @ series @ self.a_outer.T)

    @staticmethod
    def state_rules(weights: Tensor, above: Tensor) -> Rule:
        """What the `attributes` may be for Σ of `weights` (p, q) and those of the layer `above`."""
        (p, q), kind = weights.shape, weights.dtype
        rank1, rank2 = min(q, above.shape[1]), min(p, above.shape[0])
        a_power, b_power = (tensor((rank, rank), kind) for rank in (rank1, rank2))
        return record(
            {
                "type": word("DoublingInverse"),
                "a_inverse": square(q, kind),
                "b_inverse": square(p, kind),
                **dict.fromkeys(("a_inner", "a_outer"), tensor((q, rank1), kind)),
                **dict.fromkeys(("b_inner", "b_outer"), tensor((p, rank2), kind)),
                "a_powers": up_to(MAX_DOUBLINGS, a_power),
            },
            lambda state: {"b_powers": items([b_power] * len(state["a_powers"]))},
        )


def stein_inverse(
    a_root: Tensor,
    b_root: Tensor,
    c_root: Tensor,
    d_root: Tensor,
    sign: int,
    dtype: torch.dtype,
    fallbacks: Fallbacks | None = None,
) -> "DoublingInverse | KroneckerSumInverse":
    """The inverse by doubling or, counted as a fallback, by decompositions if that fails."""
    try:
        return DoublingInverse(a_root, b_root, c_root, d_root, sign, dtype)
    except ArithmeticError as error:
        (fallbacks or Fallbacks()).record(
            "unconverged_doublings",
            "a %d x %d Stein equation: %s; it is solved by decompositions",
            b_root.shape[0],
            a_root.shape[0],
            error,
        )
    return KroneckerSumInverse(a_root, b_root, c_root, d_root, sign, dtype, fallbacks)


@dataclass(frozen=True)
class _Terms:
    """One Kronecker factor of the series: R Sᵏ Rᵀ = outer · coreᵏ⁻¹ · innerᵀ, S = RᵀXXᵀR, k ≥ 1."""

    outer: Tensor
    core: Tensor
    inner: Tensor


def _terms(root: Tensor, other: Tensor) -> _Terms:
    product = root.T @ other
    if product.shape[0] <= product.shape[1]:
        core = symmetrized(product @ product.T)
        return _Terms(root @ core, core, root)
    mixed = root @ product
    return _Terms(mixed, symmetrized(product.T @ product), mixed)


def _powers(left: Tensor, right: Tensor, tolerance: float) -> list[tuple[Tensor, Tensor]]:
    """Powers 1, 2, 4, … of two symmetric matrices, until the next pair is negligible.

    Only the product of a pair matters, so each pair is scaled to equal norms to avoid overflow.
    """
    powers: list[tuple[Tensor, Tensor]] = []
    divergent = (left.shape[0] * right.shape[0]) ** 0.5  # ‖H‖ ≤ √n s: more means s₁s₂ > 1
    while True:
        left_norm = float(torch.linalg.matrix_norm(left))
        right_norm = float(torch.linalg.matrix_norm(right))
        size = left_norm * right_norm
        if size <= tolerance:
            return powers
        if not size <= divergent:
            raise ArithmeticError("the doubling iteration diverges")
        if len(powers) == MAX_DOUBLINGS:
            raise ArithmeticError(f"{MAX_DOUBLINGS} doublings leave a remainder of {size:.2g}")
        scale = (right_norm / left_norm) ** 0.5
        left, right = left * scale, right / scale
        powers.append((left, right))
        left, right = left @ left, right @ right
