"""The spans over which M(δ) is minimised: a proposal Δ and the previous update δ₀ (section 7).

Where a large λ dominates the curvature, both are nearly multiples of the gradient. The system for
α and μ is then nearly singular, and the rounding errors of its entries would decide the step. So
the part of Δ along δ₀ is removed first, from the vector itself: the span stays the same, and the
system is as well conditioned as F allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kfac_cli.engine.linearization import Linearization
from kfac_cli.engine.parameters import (
    Parameters,
    inner_product,
    inner_products,
    linear_combination,
)
from kfac_cli.engine.quadratic_model import ModelPoint, QuadraticModel, resolution
from kfac_cli.engine.transfer import fetch


@dataclass(frozen=True)
class Subspaces:
    """The span of each proposal Δ and, if there is one, of a `common` direction δ₀.

    `remainders` are Δ - cδ₀, orthogonal to δ₀ but for rounding errors, and `removed` are the c;
    `model` is M on the remainders and, last, δ₀.
    """

    remainders: list[Parameters]
    removed: list[float]
    common: Parameters | None
    model: QuadraticModel

    @classmethod
    def of(
        cls,
        here: Linearization,
        slope: Parameters,
        proposals: Sequence[Parameters],
        common: Parameters | None,
        cases: int,
    ) -> "Subspaces":
        """Compute M, of the given slope at δ = 0, with F on `cases` cases.

        Changes the proposals in place. The host waits for the device once.
        """
        remainders = list(proposals)
        directions, parts = remainders, []
        if common is not None:
            parts = _remove(common, remainders)
            directions = [*remainders, common]
        sums = here.fisher_gram(directions, cases), inner_products([*directions, slope])
        fisher, inner, *parts = fetch(*sums, *parts)
        removed = [float(part) for part in parts]
        epsilon = torch.finfo(slope[0].dtype).eps
        model = QuadraticModel(fisher, inner[:-1, :-1], inner[-1, :-1], epsilon)
        if common is not None:
            model = model.without(_parallel(model, removed))
        return cls(remainders, removed, common, model)

    def minimum(self, index: int, damping: float) -> ModelPoint:
        """The minimum over the span of one proposal; `damping` is λ + η.

        Its coefficients are α and, with δ₀, μ.
        """
        if self.common is None:
            return self.model.minimum([index], damping)
        point = self.model.minimum(self._span(index), damping)
        alpha, rest = point.coefficients
        return ModelPoint([alpha, rest - alpha * self.removed[index]], point.change)

    def minimum_over_alpha(self, index: int, mu: float, damping: float) -> ModelPoint:
        """The minimum over α where μ is given, with δ₀; without it that of `minimum`."""
        if self.common is None:
            return self.minimum(index, damping)
        start = self.model.slope.new_tensor([0.0, mu])
        along = self.model.slope.new_tensor([1.0, self.removed[index]])
        alpha = self.model.minimum_on_line(self._span(index), start, along, damping)
        return self.at(index, alpha, mu, damping=damping)

    def at(
        self, index: int, alpha: float, mu: float | None = None, *, damping: float
    ) -> ModelPoint:
        """The point αΔ + μδ₀; without δ₀ αΔ."""
        if self.common is None or mu is None:
            return self.model.at([index], [alpha], damping)
        rest = self._along_common(index, [alpha, mu])
        point = self.model.at(self._span(index), [alpha, rest], damping)
        return ModelPoint([alpha, mu], point.change)

    def _span(self, index: int) -> list[int]:
        """The indices in `model` of what is left of a proposal and of δ₀."""
        return [index, len(self.remainders)]

    def update(self, index: int, coefficients: Sequence[float]) -> Parameters:
        """δ = αΔ + μδ₀."""
        alpha = coefficients[0]
        if self.common is None:
            return linear_combination([alpha], [self.remainders[index]])
        rest = self._along_common(index, coefficients)
        return linear_combination([alpha, rest], [self.remainders[index], self.common])

    def surely_finite(self, index: int, coefficients: Sequence[float]) -> bool:
        """Whether the entries of that δ are finite, judged by the norms of its parts.

        Then neither they nor the coefficients come near the largest number of their dtype. False
        does not say that one is not finite.
        """
        factors = [abs(coefficients[0])]
        norms = [float(self.model.inner[index, index]) ** 0.5]
        if self.common is not None:
            factors.append(abs(self._along_common(index, coefficients)))
            norms.append(float(self.model.inner[-1, -1]) ** 0.5)
        size = sum(c * max(norm, 1.0) for c, norm in zip(factors, norms, strict=True))
        return bool(size < torch.finfo(self.remainders[index][0].dtype).max / 4)

    def _along_common(self, index: int, coefficients: Sequence[float]) -> float:
        """The coefficient of δ₀ beside that of the remainder of a proposal."""
        return coefficients[1] + coefficients[0] * self.removed[index]


def _remove(common: Parameters, vectors: Sequence[Parameters]) -> list[Tensor]:
    """Remove from each vector, in place, c times `common`, its projection; return the c."""
    square = inner_product(common, common)
    removed = []
    for vector in vectors:
        c = inner_product(vector, common) / square
        c = torch.where(c.isfinite(), c, 0.0)  # of δ₀ = 0; else the system itself will tell
        factor = c.to(vector[0].dtype)
        for layer, along in zip(vector, common, strict=True):
            layer.addcmul_(along, factor, value=-1)
        removed.append(c)
    return removed


def _parallel(model: QuadraticModel, removed: Sequence[float]) -> list[int]:
    """The proposals of which nothing but rounding errors remains."""
    squares = model.inner.diagonal().tolist()
    limit = resolution(model.epsilon) ** 2
    return [i for i, c in enumerate(removed) if squares[i] <= limit * c * c * squares[-1]]
