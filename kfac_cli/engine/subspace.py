"""The spans over which M(δ) is minimised: a proposal Δ and the previous update δ₀ (section 7).

Where a large λ dominates the curvature, both are nearly multiples of the gradient. The system for
α and μ is then nearly singular, and the rounding errors of its entries would decide the step. So
the part of Δ along δ₀ is removed first, from the vector itself: the span stays the same, and the
system is as well conditioned as F allows. With an α and a μ for each of several groups of layers,
this holds for the groups' parts of Δ and δ₀.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kfac_cli.engine.linearization import Linearization
from kfac_cli.engine.parameters import (
    Direction,
    Parameters,
    inner_product,
    inner_products,
    linear_combination,
)
from kfac_cli.engine.quadratic_model import ModelPoint, QuadraticModel, resolution
from kfac_cli.engine.transfer import fetch


@dataclass(frozen=True)
class Subspaces:
    """The span of each proposal Δ and, if there is one, of a `common` direction δ₀, by `groups`.

    `groups` are consecutive ranges of layers, together all of them. `remainders` are Δ - cδ₀ with a
    c for each group, orthogonal to δ₀ there but for rounding errors, and `removed[g]` are the c of
    group g. `model` is M, for each group in turn, on its parts of the remainders and, last, of δ₀.
    """

    remainders: list[Parameters]
    groups: list[slice]
    removed: list[list[float]]
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
        groups: Sequence[slice] = (slice(None),),
    ) -> "Subspaces":
        """Compute M, of the given slope at δ = 0, with F on `cases` cases.

        Changes the proposals in place. The host waits for the device once.
        """
        remainders, removals = list(proposals), []
        vectors = remainders
        if common is not None:
            removals = [_remove(common[g], [v[g] for v in remainders]) for g in groups]
            vectors = [*remainders, common]
        directions = [_only(vector, group) for group in groups for vector in vectors]
        inners = [inner_products([v[group] for v in [*vectors, slope]]) for group in groups]
        sums = here.fisher_gram(directions, cases), torch.stack(inners)
        fisher, inner, *parts = fetch(*sums, *(c for of_group in removals for c in of_group))
        removed = [
            [float(c) for c in parts[first : first + len(remainders)]]
            for first in range(0, len(parts), len(remainders))
        ]
        epsilon = torch.finfo(slope[0].dtype).eps
        squares = torch.block_diag(*inner[:, :-1, :-1])  # type: ignore[no-untyped-call]
        model = QuadraticModel(fisher, squares, inner[:, -1, :-1].reshape(-1), epsilon)
        if common is not None:
            model = model.without(_parallel(model, removed))
        return cls(remainders, list(groups), removed, common, model)

    def minimum(self, index: int, damping: float) -> ModelPoint:
        """The minimum over the span of one proposal; `damping` is λ + η.

        Its coefficients are the α of each group and, with δ₀, the μ of each group.
        """
        point = self.model.minimum(self._chosen(index), damping)
        return replace(point, coefficients=self._shifted(index, point.coefficients, -1))

    def at(self, index: int, alpha: float, damping: float) -> ModelPoint:
        """The point α along a proposal, without δ₀."""
        chosen = self._places(index)
        return self.model.at(chosen, [alpha] * len(chosen), damping)

    def update(self, index: int, coefficients: Sequence[float]) -> Parameters:
        """δ = αΔ + μδ₀, each group of layers with its own α and μ."""
        vectors = [self.remainders[index], *([] if self.common is None else [self.common])]
        factors = self._shifted(index, coefficients, 1)
        delta: Parameters = []
        for number, group in enumerate(self.groups):
            own = factors[number :: len(self.groups)]
            delta += linear_combination(own, [vector[group] for vector in vectors])
        return delta

    def surely_finite(self, index: int, coefficients: Sequence[float]) -> bool:
        """Whether the entries of that δ are finite, judged by the norms of its parts.

        Then neither they nor the coefficients come near the largest number of their dtype. False
        does not say that one is not finite.
        """
        factors = self._shifted(index, coefficients, 1)
        squares = self.model.inner.diagonal()[self._chosen(index)].tolist()
        parts = zip(factors, squares, strict=True)
        size = sum(abs(c) * max(math.sqrt(square), 1.0) for c, square in parts)
        return bool(size < torch.finfo(self.remainders[index][0].dtype).max / 4)

    def _places(self, index: int) -> list[int]:
        """Where the model has the groups' parts of a proposal."""
        vectors = len(self.remainders) + (self.common is not None)
        return [group * vectors + index for group in range(len(self.groups))]

    def _chosen(self, index: int) -> list[int]:
        """Where the model has the groups' parts of a proposal and, if there is one, of δ₀."""
        common = [] if self.common is None else self._places(len(self.remainders))
        return self._places(index) + common

    def _shifted(self, index: int, coefficients: Sequence[float], sign: int) -> list[float]:
        """α and what stands before δ₀: beside the remainder (sign 1) or Δ itself (sign -1).

        From the one for the other.
        """
        count = len(self.groups)
        alphas, along = coefficients[:count], coefficients[count:]
        if self.common is None:
            return list(alphas)
        parts = zip(alphas, along, self.removed, strict=True)
        return [*alphas, *(b + sign * (a * removed[index]) for a, b, removed in parts)]


def _only(vector: Parameters, group: slice) -> Direction:
    """The part of a vector in a group of layers."""
    inside = range(len(vector))[group]
    return [layer if number in inside else None for number, layer in enumerate(vector)]


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


def _parallel(model: QuadraticModel, removed: Sequence[Sequence[float]]) -> list[int]:
    """The parts of proposals of which nothing but rounding errors remains."""
    squares = model.inner.diagonal().tolist()
    limit = resolution(model.epsilon) ** 2
    found = []
    for group, factors in enumerate(removed):
        first = group * (len(factors) + 1)
        scale = limit * squares[first + len(factors)]
        found += [first + i for i, c in enumerate(factors) if squares[first + i] <= scale * c * c]
    return found
