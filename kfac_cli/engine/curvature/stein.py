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
from kfac_cli.engine.transfer import fetch

Pair = tuple[Whitened, Whitened]
"""T₁ and T₂ of two neighbouring layers."""

AHEAD_ON_GPU = 7
"""Squarings before the host looks at their sizes: it does so once as a rule (3 to 7 on MNIST)."""

MAX_DOUBLINGS = 20
"""Maximum number of squarings: 2²⁰ terms converge for s₁s₂ up to about 1 - 2e-5."""


class DoublingCoupling(Coupling):
    """K_i by doubling, with H₁ and H₂ as they are.

    The powers H^(2ʲ) are computed in float64 until the bound ‖H₁^(2ʲ)‖ ‖H₂^(2ʲ)‖ (Frobenius) on
    the relative size of the series' remainder falls below `dtype`'s eps. The relative error is then
    about eps·cond/(1 - s₁s₂), as by decomposition, for s₁s₂ ≤ 1 - 2e-5. `cores` are H₁ and H₂.
    """

    def __init__(
        self,
        activation: Whitened,
        gradient: Whitened,
        cores: tuple[Tensor, Tensor],
        powers: Sequence[tuple[Tensor, Tensor]],
        dtype: torch.dtype,
    ) -> None:
        self.a_here, self.a_above = (root.to(dtype) for root in _roots(activation))
        self.g_here, self.g_above = (root.to(dtype) for root in _roots(gradient))
        self.a_core, self.g_core = (core.to(dtype) for core in cores)
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
    pairs: Sequence[Pair], dtype: torch.dtype, fallbacks: Fallbacks | None = None
) -> list[DoublingCoupling | CanonicalCoupling]:
    """K_i of each pair by doubling or, counted as a fallback, by decompositions if that fails."""
    doubled = attempted_doublings(pairs, dtype)
    for (activation, gradient), result in zip(pairs, doubled, strict=True):
        if isinstance(result, ArithmeticError):
            (fallbacks or Fallbacks()).record(
                "unconverged_doublings",
                "a %d x %d Stein equation: %s; it is solved by decompositions",
                gradient.matrix.shape[0],
                activation.matrix.shape[0],
                result,
            )
    return decomposed_failures(pairs, doubled, dtype, fallbacks)


def attempted_doublings(
    pairs: Sequence[Pair], dtype: torch.dtype
) -> list[DoublingCoupling | ArithmeticError]:
    """K_i of each pair by doubling, or why that fails.

    It does if `MAX_DOUBLINGS` are not enough or the series diverges (s₁s₂ ≥ 1). On a GPU, all pairs
    are doubled together, so that the host waits once or twice for all of them.
    """
    tolerance = torch.finfo(dtype).eps

    def attempt(some: Sequence[Pair], ahead: int) -> list[DoublingCoupling | ArithmeticError]:
        cores = [(_core(activation), _core(gradient)) for activation, gradient in some]
        return [
            powers
            if isinstance(powers, ArithmeticError)
            else DoublingCoupling(*pair, core, powers, dtype)
            for pair, core, powers in zip(
                some, cores, _powers(cores, tolerance, ahead), strict=True
            )
        ]

    if pairs and pairs[0][0].matrix.device.type != "cpu":
        return attempt(pairs, AHEAD_ON_GPU)
    return [
        result
        for results in side_by_side(lambda p: attempt([p], 1), pairs, lambda p: p[0].matrix)
        for result in results
    ]


def decomposed_failures(
    pairs: Sequence[Pair],
    doubled: Sequence[DoublingCoupling | ArithmeticError],
    dtype: torch.dtype,
    fallbacks: Fallbacks | None,
) -> list[DoublingCoupling | CanonicalCoupling]:
    """The couplings of `attempted_doublings`, those that failed by decompositions."""
    failed = [p for p, r in zip(pairs, doubled, strict=True) if isinstance(r, ArithmeticError)]
    decomposed = iter(canonical_couplings(failed, dtype, fallbacks))
    return [next(decomposed) if isinstance(r, ArithmeticError) else r for r in doubled]


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


def _powers(
    cores: Sequence[tuple[Tensor, Tensor]], tolerance: float, ahead: int
) -> list[list[tuple[Tensor, Tensor]] | ArithmeticError]:
    """For each pair of symmetric matrices its powers 1, 2, 4, … until the next is negligible.

    Or why there are none. Before each transfer of their sizes from the device, `ahead` of them are
    computed, of which some turn out to be superfluous.
    """
    sequences = [_Squares(*pair) for pair in cores]
    results: list[list[tuple[Tensor, Tensor]] | ArithmeticError | None] = [None] * len(cores)
    while unknown := [index for index, result in enumerate(results) if result is None]:
        sizes = [sequences[index].extended(ahead) for index in unknown]
        for index, known in zip(unknown, fetch(*sizes), strict=True):
            results[index] = sequences[index].until(tolerance, known.tolist())
    return [result for result in results if result is not None]


class _Squares:
    """The powers 1, 2, 4, … of a pair of symmetric matrices, and their sizes.

    A size is ‖H₁^(2ʲ)‖ ‖H₂^(2ʲ)‖. Only the product of a pair matters, so each pair is scaled to
    equal norms to avoid overflow.
    """

    def __init__(self, left: Tensor, right: Tensor) -> None:
        # ‖H‖ ≤ √n s: a larger one means s₁s₂ > 1
        self._divergent = (left.shape[0] * right.shape[0]) ** 0.5
        self._next = left, right
        self._powers: list[tuple[Tensor, Tensor]] = []

    def extended(self, count: int) -> Tensor:
        """Compute so many more; their sizes, (count + 1,) with that of the power after them."""
        sizes = []
        for position in range(count + 1):
            left, right = self._next
            norms = [torch.linalg.matrix_norm(each) for each in self._next]
            sizes.append(norms[0] * norms[1])
            if position < count:
                scale = (norms[1] / norms[0]).sqrt()
                self._powers.append((left * scale, right / scale))
                left, right = self._powers[-1]
                self._next = left @ left, right @ right
        return torch.stack(sizes)

    def until(
        self, tolerance: float, sizes: Sequence[float]
    ) -> list[tuple[Tensor, Tensor]] | ArithmeticError | None:
        """The powers before the first negligible one, given the sizes of those last computed.

        An error if there is none by `MAX_DOUBLINGS`; None if there is none yet.
        """
        first = len(self._powers) + 1 - len(sizes)
        for count, size in enumerate(sizes, start=first):
            if size <= tolerance:
                return self._powers[:count]
            if not size <= self._divergent:
                return ArithmeticError("the doubling iteration diverges")
            if count == MAX_DOUBLINGS:
                return ArithmeticError(f"{MAX_DOUBLINGS} doublings leave a remainder of {size:.2g}")
        return None
