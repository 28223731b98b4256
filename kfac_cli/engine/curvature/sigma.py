"""How Σ_{i|i+1} is inverted (appendix B): by decompositions, by doubling, or as fits the device."""

from collections.abc import Callable, Sequence

import torch

from kfac_cli.engine.curvature.canonical import CanonicalCoupling, canonical_couplings
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.stein import (
    DoublingCoupling,
    Pair,
    attempted_doublings,
    decomposed_failures,
    doubling_couplings,
)

AnyCoupling = CanonicalCoupling | DoublingCoupling

COUPLINGS: tuple[type[AnyCoupling], ...] = CanonicalCoupling, DoublingCoupling


def couplings(
    pairs: Sequence[Pair], dtype: torch.dtype, fallbacks: Fallbacks | None = None
) -> Sequence[AnyCoupling]:
    """K_i of each pair of neighbouring layers, in the way that takes less time on its device.

    On a CPU, by decompositions. On a GPU, where a decomposition takes a hundred times as long as a
    product, by doubling where that converges; where it does not, nothing is lost but the attempt,
    which is therefore no fallback.
    """
    if not pairs or pairs[0][0].matrix.device.type == "cpu":
        return canonical_couplings(pairs, dtype, fallbacks)
    return decomposed_failures(pairs, attempted_doublings(pairs, dtype), dtype, fallbacks)


SigmaSolver = Callable[..., Sequence[AnyCoupling]]

SIGMA_SOLVERS: dict[str, SigmaSolver] = {
    "auto": couplings,
    "decomposition": canonical_couplings,
    "doubling": doubling_couplings,
}
"""The values of the option `sigma_solver`."""
