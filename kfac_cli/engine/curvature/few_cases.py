"""F̆⁻¹v and F̂⁻¹v from a few cases, for one v and many γ.

Ā and G of n cases have rank n at most. Where that is much less than their size, v is split once
into its parts in the spans of the cases and outside. Inside, everything is as in `coupling.py`, in
the coordinates of bases of the spans; outside, only the damping remains. So another γ takes two
products with the bases of each layer, and decompositions of n × n matrices.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from kfac_cli.engine.curvature.coupling import Whitened
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.sigma import couplings
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.transfer import fetch_numbers

NEGLIGIBLE = 1e-12
"""Relative size of eigenvalues that are rounding errors."""


class FewCases:
    """F̃'s blocks E[ā āᵀ] ⊗ E[g gᵀ] over n cases, on the diagonal or also beside it (`coupled`).

    `homogeneous[i]` holds the ā_i as rows, (n, d_i + 1), and `gradients[i]` the g_{i+1}; `vectors`
    is v, shaped like the parameters.
    """

    def __init__(
        self,
        homogeneous: Sequence[Tensor],
        gradients: Sequence[Tensor],
        vectors: Parameters,
        *,
        coupled: bool = False,
    ) -> None:
        self._coupled = coupled
        activation = [_Span.of(rows) for rows in homogeneous]
        gradient = [_Span.of(rows) for rows in gradients]
        self._layers = [_Layer(*each) for each in zip(vectors, activation, gradient, strict=True)]
        means = fetch_numbers(*(span.mean_eigenvalue for span in (*activation, *gradient)))
        tiny = torch.finfo(vectors[0].dtype).tiny  # below it Ā and G themselves would be 0
        means = [mean if mean >= tiny else 0.0 for mean in means]
        self._means = list(zip(means[: len(activation)], means[len(activation) :], strict=True))

    def mean_eigenvalue(self) -> float:
        """The average eigenvalue of the diagonal blocks, tr F̃ / dim F̃."""
        sizes = [layer.outside.numel() for layer in self._layers]
        total = sum(size * a * g for size, (a, g) in zip(sizes, self._means, strict=True))
        return total / sum(sizes)

    def inverse_product(self, gamma: float) -> Parameters:
        """F̆⁻¹v, or F̂⁻¹v if `coupled`, as new tensors.

        With factored Tikhonov damping and π of the trace norm (section 6.3).
        """
        pis = [math.sqrt(a / g) if min(a, g) > 0 else 1.0 for a, g in self._means]
        damped = [
            (_Damped(layer.activation, gamma * pi), _Damped(layer.gradient, gamma / pi))
            for layer, pi in zip(self._layers, pis, strict=True)
        ]
        inside = [
            layer.inside * g.inverse[:, None] * a.inverse
            for layer, (a, g) in zip(self._layers, damped, strict=True)
        ]
        if self._coupled:
            self._add_couplings(inside, damped)
        return [
            layer.whole(product, a, g)
            for layer, product, (a, g) in zip(self._layers, inside, damped, strict=True)
        ]

    def _add_couplings(
        self, products: list[Tensor], damped: Sequence[tuple["_Damped", "_Damped"]]
    ) -> None:
        """Add to F̆⁻¹v, in the coordinates of the spans, what makes it F̂⁻¹v."""
        pairs = [
            (a.whitened_with(a_above), g.whitened_with(g_above))
            for (a, g), (a_above, g_above) in pairwise(damped)
        ]
        quiet = Fallbacks(clipped_sums=1)  # of trials, about which none is a warning
        every = couplings(pairs, products[0].dtype, quiet)
        neighbours = zip(every, pairwise(self._layers), pairwise(products), strict=True)
        for coupling, (here, above), sums in neighbours:
            coupling.add_product_(here.inside, above.inside, *sums)


@dataclass(frozen=True)
class _Span:
    """M = RᵀR / n for n rows R of width d, where R/√n = U √s Eᵀ of rank r = min(n, d) at most.

    `values` are the s (r,) and `left` is U (n, r), both in float64; `basis` is E (d, r).
    """

    values: Tensor
    left: Tensor
    basis: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> "_Span":
        exact = rows.to(torch.float64) / math.sqrt(rows.shape[0])
        wide = exact.shape[0] < exact.shape[1]
        values, vectors = torch.linalg.eigh(exact @ exact.T if wide else exact.T @ exact)
        known = values > NEGLIGIBLE * values[-1]
        values = torch.where(known, values, 0.0)
        scales = torch.where(known, values, torch.inf).rsqrt()
        if wide:
            return cls(values, vectors, (exact.T @ vectors * scales).to(rows.dtype))
        return cls(values, exact @ vectors * scales, vectors.to(rows.dtype))

    @property
    def mean_eigenvalue(self) -> Tensor:
        """The average eigenvalue of M."""
        return self.values.sum() / self.basis.shape[0]

    @property
    def is_everything(self) -> bool:
        """Whether nothing lies outside."""
        return self.basis.shape[0] == self.basis.shape[1]


@dataclass(frozen=True)
class _Damped:
    """M + cI, c being the `damping`; in the coordinates of the span it is diag(s + c)."""

    span: _Span
    damping: float

    @property
    def inverse(self) -> Tensor:
        """1 / (s + c)."""
        return (self.span.values + self.damping).reciprocal().to(self.span.basis.dtype)

    def root(self, matrix: Tensor) -> Tensor:
        """R X for X (r, k), where R = (s + c)^(-1/2)."""
        return matrix * (self.span.values + self.damping).rsqrt().to(matrix.dtype)[:, None]

    def whitened_with(self, above: "_Damped") -> Whitened:
        """T = R √s UᵀU √s R of this layer and the next."""
        return Whitened(self._left.T @ above._left, self, above)

    @property
    def _left(self) -> Tensor:
        values = self.span.values
        return self.span.left * (values / (values + self.damping)).sqrt()


class _Layer:
    """V (p, q), split by the spans of ā and g: V = E_g (inside E_aᵀ + only_g) + only_a E_aᵀ + rest.

    `outside` is what lies in neither span, `only_a` (p, r_a) and `only_g` (r_g, q) in one of them.
    """

    def __init__(self, matrix: Tensor, activation: _Span, gradient: _Span) -> None:
        self.activation, self.gradient = activation, gradient
        rows = gradient.basis.T @ matrix
        self.inside = rows @ activation.basis
        self.only_g = rows - self.inside @ activation.basis.T
        rest = torch.addmm(matrix, gradient.basis, rows, alpha=-1)
        self.only_a = rest @ activation.basis
        self.outside = rest.addmm_(self.only_a, activation.basis.T, alpha=-1)
        if activation.is_everything:
            self.only_g.zero_()
        if gradient.is_everything:
            self.only_a.zero_()
        if activation.is_everything or gradient.is_everything:
            self.outside.zero_()

    def whole(self, inside: Tensor, a: _Damped, g: _Damped) -> Tensor:
        """The product with (A + aI)⁻¹ ⊗ (G + gI)⁻¹, given its part `inside`."""
        rows = inside @ a.span.basis.T
        largest = torch.finfo(rows.dtype).max  # torch takes no number beyond it
        outside_a, outside_g = (min(1 / each.damping, largest) for each in (a, g))
        rows.addcmul_(self.only_g, g.inverse[:, None], value=outside_a)
        beta = min(1 / (a.damping * g.damping), largest)
        product = torch.addmm(self.outside, g.span.basis, rows, beta=beta)
        return product.addmm_(self.only_a * a.inverse, a.span.basis.T, alpha=outside_g)
