"""Couplings of neighbouring layers by matrix products only (appendix B).

U = (I - H₁⊗H₂)⁻¹Z solves the Stein equation U - H₂ U H₁ = Z. A Smith-type iteration with squaring
sums the series Σₖ H₂ᵏ Z H₁ᵏ: squaring the two matrices doubles the number of terms. The squares do
not depend on Z.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from kfac_cli.engine.curvature.canonical import CanonicalCoupling, canonical_couplings
from kfac_cli.engine.curvature.coupling import Coupling, Whitened, coupling_ranks, root_rules
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.parallel import side_by_side
from kfac_cli.engine.curvature.sandwich import sandwich
from kfac_cli.engine.curvature.tikhonov import symmetrized
from kfac_cli.engine.products import Products
from kfac_cli.engine.state_rules import Rule, items, record, square, up_to, word

MAX_DOUBLINGS = 20
"""Maximum number of squarings: 2²⁰ terms converge for s₁s₂ up to about 1 - 2e-5."""


class DoublingCoupling(Coupling):
    """K_i by doubling, with H₁ and H₂ as they are.

    The powers H^(2ʲ) are computed in float64 until the bound ‖H₁^(2ʲ)‖ ‖H₂^(2ʲ)‖ (Frobenius) on
    the relative size of the series' remainder falls below `dtype`'s eps. The relative error is then
    about eps·cond/(1 - s₁s₂), as by decomposition, for s₁s₂ ≤ 1 - 2e-5. Raises ArithmeticError if
    `MAX_DOUBLINGS` are not enough or the series diverges (s₁s₂ ≥ 1).
    """

    def __init__(self, activation: Whitened, gradient: Whitened, dtype: torch.dtype) -> None:
        a_core, g_core = _core(activation), _core(gradient)
        powers = _powers(a_core, g_core, torch.finfo(dtype).eps)
        self.a_here, self.a_above = (root.to(dtype) for root in _roots(activation))
        self.g_here, self.g_above = (root.to(dtype) for root in _roots(gradient))
        self.a_core, self.g_core = a_core.to(dtype), g_core.to(dtype)
        self.a_powers = [power.to(dtype) for power, _ in powers]
        self.g_powers = [power.to(dtype) for _, power in powers]

    def _solve(self, matrix: Tensor, products: Products) -> Tensor:
        for a_power, g_power in zip(self.a_powers, self.g_powers, strict=True):
            matrix = matrix + sandwich(g_power, matrix, a_power, products)
        return matrix

    def _times_a_core(self, matrix: Tensor, products: Products) -> Tensor:
        return products.multiply(matrix, self.a_core)

    def _times_g_core(self, matrix: Tensor, products: Products) -> Tensor:
        return products.multiply(self.g_core, matrix)

    @staticmethod
    def state_rules(weights: Tensor, above: Tensor) -> Rule:
        """What the `attributes` may be for a layer's `weights` (p, q) and the layer `above`."""
        a_rule, g_rule = (square(rank, weights.dtype) for rank in coupling_ranks(weights, above))
        return record(
            {
                "type": word("DoublingCoupling"),
                **root_rules(weights, above),
                "a_core": a_rule,
                "g_core": g_rule,
                "a_powers": up_to(MAX_DOUBLINGS, a_rule),
            },
            lambda state: {"g_powers": items([g_rule] * len(state["a_powers"]))},
        )


def doubling_couplings(
    pairs: Sequence[tuple[Whitened, Whitened]],
    dtype: torch.dtype,
    fallbacks: Fallbacks | None = None,
) -> list[DoublingCoupling | CanonicalCoupling]:
    """K_i of each pair by doubling or, counted as a fallback, by decompositions if that fails."""

    def attempt(pair: tuple[Whitened, Whitened]) -> DoublingCoupling | ArithmeticError:
        try:
            return DoublingCoupling(*pair, dtype)
        except ArithmeticError as error:
            return error

    attempts = side_by_side(attempt, pairs, lambda pair: pair[0].matrix)
    return [
        _decomposed(pair, dtype, attempt, fallbacks or Fallbacks())
        if isinstance(attempt, ArithmeticError)
        else attempt
        for pair, attempt in zip(pairs, attempts, strict=True)
    ]


def _decomposed(
    pair: tuple[Whitened, Whitened], dtype: torch.dtype, error: Exception, fallbacks: Fallbacks
) -> CanonicalCoupling:
    activation, gradient = pair
    fallbacks.record(
        "unconverged_doublings",
        "a %d x %d Stein equation: %s; it is solved by decompositions",
        gradient.matrix.shape[0],
        activation.matrix.shape[0],
        error,
    )
    return canonical_couplings([pair], dtype, fallbacks)[0]


def _core(side: Whitened) -> Tensor:
    """H, the smaller Gram matrix of T."""
    narrow = side.matrix if side.is_tall else side.matrix.T
    return symmetrized(narrow.T @ narrow)


def _roots(side: Whitened) -> tuple[Tensor, Tensor]:
    """R_i T and R_{i+1} if T is tall, else R_i and R_{i+1} Tᵀ."""
    if side.is_tall:
        return side.here.root(side.matrix), side.above.root(_identity(side.matrix, 1))
    return side.here.root(_identity(side.matrix, 0)), side.above.root(side.matrix.T)


def _identity(matrix: Tensor, dimension: int) -> Tensor:
    return torch.eye(matrix.shape[dimension], dtype=matrix.dtype, device=matrix.device)


def _powers(left: Tensor, right: Tensor, tolerance: float) -> list[tuple[Tensor, Tensor]]:
    """Powers 1, 2, 4, … of two symmetric matrices, until the next pair is negligible.

    Only the product of a pair matters, so each pair is scaled to equal norms to avoid overflow.
    """
    powers: list[tuple[Tensor, Tensor]] = []
    divergent = (left.shape[0] * right.shape[0]) ** 0.5  # ‖H‖ ≤ √n s: more means s₁s₂ > 1
    while True:
        norms = torch.stack([torch.linalg.matrix_norm(each) for each in (left, right)]).tolist()
        left_norm, right_norm = norms
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
