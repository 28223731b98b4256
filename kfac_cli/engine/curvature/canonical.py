"""Couplings of neighbouring layers from eigendecompositions (appendix B)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kfac_cli.engine.curvature.coupling import Coupling, Whitened, coupling_ranks, root_rules
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.parallel import side_by_side
from kfac_cli.engine.curvature.tikhonov import symmetrized
from kfac_cli.engine.products import Products
from kfac_cli.engine.state_rules import Rule, entries, record, tensor, word

MIN_GAP = 1e-10
"""Lower bound for 1 - s₁s₂, where rounding would make Σ_{i|i+1} singular or indefinite."""

MIN_GAP_FLOAT32 = 1e-4
"""Smallest 1 - s₁s₂ at which float32 eigenvectors are used: there they lose as many digits as the
products with vectors in float32, or fewer."""


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues s of H, in float64, and both roots in the basis of its eigenvectors."""

    values: Tensor
    here: Tensor
    above: Tensor

    @classmethod
    def of(cls, side: Whitened, dtype: torch.dtype, used: torch.dtype | None = None) -> "Spectrum":
        """The spectrum of the smaller Gram matrix of T, its eigenvectors computed in `dtype`.

        The eigenvalues are Rayleigh quotients in float64: their error is the square of that of the
        eigenvectors. A correlation below the resolution of the dtype in which it is `used`, by
        default `dtype`, is set to 0, with its direction, as many are while T comes from few cases:
        it would change no product by more than rounding, but would make subnormal numbers, with
        which a CPU is a hundred times slower.
        """
        narrow = side.matrix if side.is_tall else side.matrix.T
        vectors = _eigenvectors(narrow, dtype)
        basis = vectors.to(torch.float64)
        wide = narrow @ basis
        values = wide.square().sum(0) / basis.square().sum(0)
        resolved = values >= torch.finfo(used or dtype).eps ** 2
        wide, vectors = wide.to(dtype) * resolved, vectors * resolved
        here, above = (wide, vectors) if side.is_tall else (vectors, wide)
        return cls(values * resolved, side.here.root(here), side.above.root(above))


def _eigenvectors(narrow: Tensor, dtype: torch.dtype) -> Tensor:
    """Eigenvectors of NᵀN, from float64 if the solver does not converge in a shorter `dtype`."""
    matrix = narrow.to(dtype)
    try:
        vectors: Tensor = torch.linalg.eigh(symmetrized(matrix.T @ matrix)).eigenvectors
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        if dtype == torch.float64:
            raise
        return _eigenvectors(narrow, torch.float64).to(dtype)
    return vectors


class CanonicalCoupling(Coupling):
    """K_i with H₁ and H₂ diagonal: D is 1/(1 - s₁s₂), element by element.

    Its relative error is about eps·cond/(1 - s₁s₂), with the largest condition of the factors and
    the largest s₁s₂. 1 - s₁s₂ is clipped at 1e-10: the result is then still finite and positive
    definite.
    """

    def __init__(self, activation: Spectrum, gradient: Spectrum, dtype: torch.dtype) -> None:
        gap = 1 - torch.outer(gradient.values, activation.values)
        self.a_here, self.a_above = activation.here.to(dtype), activation.above.to(dtype)
        self.g_here, self.g_above = gradient.here.to(dtype), gradient.above.to(dtype)
        self.a_eigenvalues, self.g_eigenvalues = (
            activation.values.to(dtype),
            gradient.values.to(dtype),
        )
        self.weights = gap.clamp_min_(MIN_GAP).reciprocal_().to(dtype)

    def _solve(self, matrix: Tensor, products: Products) -> Tensor:
        return matrix * self.weights

    def _times_a_core(self, matrix: Tensor, products: Products) -> Tensor:
        return matrix * self.a_eigenvalues

    def _times_g_core(self, matrix: Tensor, products: Products) -> Tensor:
        return matrix * self.g_eigenvalues[:, None]

    @staticmethod
    def state_rules(weights: Tensor, above: Tensor) -> Rule:
        """What the `attributes` may be for a layer's `weights` (p, q) and the layer `above`."""
        kind = weights.dtype
        rank1, rank2 = coupling_ranks(weights, above)
        return record(
            {
                "type": word("CanonicalCoupling"),
                **root_rules(weights, above),
                "a_eigenvalues": tensor((rank1,), kind, nonnegative=entries),
                "g_eigenvalues": tensor((rank2,), kind, nonnegative=entries),
                "weights": tensor((rank2, rank1), kind, nonnegative=entries),
            }
        )


def canonical_couplings(
    pairs: Sequence[tuple[Whitened, Whitened]],
    dtype: torch.dtype,
    fallbacks: Fallbacks | None = None,
) -> list[CanonicalCoupling]:
    """K_i for T₁ and T₂ of each pair of neighbouring layers, to be applied in `dtype`.

    T is well scaled, as the factors from which it is made are not. So its Gram matrices are
    decomposed in `dtype`, and again in float64 if 1 - s₁s₂ turns out too small for float32. A pair
    whose 1 - s₁s₂ is clipped is counted.
    """
    spectra = _spectra(pairs, dtype)
    gaps = _gaps(spectra)
    if dtype != torch.float64:
        again = [index for index, gap in enumerate(gaps) if not gap >= MIN_GAP_FLOAT32]
        better = _spectra([pairs[index] for index in again], torch.float64, dtype)
        for index, pair, gap in zip(again, better, _gaps(better), strict=True):
            spectra[index], gaps[index] = pair, gap
    for gap in gaps:
        if gap < MIN_GAP:
            (fallbacks or Fallbacks()).record(
                "clipped_sums",
                "1 - s1 s2 of a difference of Kronecker products is %.3g: clipped at %.3g",
                gap,
                MIN_GAP,
            )
    return [CanonicalCoupling(*pair, dtype) for pair in spectra]


def _spectra(
    pairs: Sequence[tuple[Whitened, Whitened]],
    dtype: torch.dtype,
    used: torch.dtype | None = None,
) -> list[tuple[Spectrum, Spectrum]]:
    sides = [side for pair in pairs for side in pair]
    spectra = side_by_side(
        lambda side: Spectrum.of(side, dtype, used), sides, lambda side: side.matrix
    )
    return list(zip(spectra[::2], spectra[1::2], strict=True))


def _gaps(spectra: Sequence[tuple[Spectrum, Spectrum]]) -> list[float]:
    """The smallest 1 - s₁s₂ of each pair, with one transfer from the device."""
    if not spectra:
        return []
    largest = [a.values.max() * g.values.max() for a, g in spectra]
    return (1 - torch.stack(largest)).tolist()
