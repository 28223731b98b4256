"""The quadratic model M(δ) on a few directions: α (section 6.4) and μ (section 7)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

FLOAT64 = torch.finfo(torch.float64).eps


def resolution(epsilon: float) -> float:
    """The relative size of what cannot be told from rounding errors of relative size `epsilon`."""
    return 16 * epsilon


@dataclass(frozen=True)
class ModelPoint:
    """A point δ of a span: `coefficients`, one per direction, and `change` = M(δ) - M(0).

    At the minimiser the change is ½ ∇hᵀδ, negative or 0; NaN where the model is not finite.
    """

    coefficients: list[float]
    change: float


@dataclass(frozen=True)
class QuadraticModel:
    """M(δ) = ½ δᵀ(F + (λ+η)I)δ + ∇hᵀδ + h(θ), restricted to the span of D directions.

    `fisher` (D, D) holds uᵀFv, `inner` (D, D) uᵀv and `slope` (D,) ∇hᵀu; all float64, formed from
    vectors whose dtype has the machine epsilon `epsilon`.
    """

    fisher: Tensor
    inner: Tensor
    slope: Tensor
    epsilon: float = FLOAT64

    def without(self, directions: Sequence[int]) -> "QuadraticModel":
        """The model with some of the directions replaced by 0."""
        keep = torch.ones_like(self.slope)
        keep[list(directions)] = 0
        mask = torch.outer(keep, keep)
        return replace(
            self, fisher=self.fisher * mask, inner=self.inner * mask, slope=self.slope * keep
        )

    def minimum(self, chosen: Sequence[int], damping: float) -> ModelPoint:
        """The minimiser over the span of the directions with the given indices.

        `damping` is λ + η. Solves the system of section 7 by a pseudo-inverse, after scaling the
        directions to equal curvature, which covers a zero or a repeated direction: what is below
        the accuracy of the system is no part of it.
        """
        curvature, slope = self._restricted(chosen, damping)
        if not bool(torch.isfinite(curvature).all() and torch.isfinite(slope).all()):
            return ModelPoint([math.nan] * len(chosen), math.nan)
        diagonal = curvature.diagonal()
        scale = torch.where(diagonal > 0, diagonal, torch.inf).rsqrt()
        scaled = curvature * torch.outer(scale, scale)
        inverse = torch.linalg.pinv(scaled, rtol=resolution(self.epsilon), hermitian=True)
        coefficients = -scale * (inverse @ (scale * slope))
        return ModelPoint(coefficients.tolist(), 0.5 * float(slope @ coefficients))

    def minimum_on_line(
        self, chosen: Sequence[int], start: Tensor, along: Tensor, damping: float
    ) -> float:
        """The t at which the point `start` + t `along` minimises M; 0 where M is flat.

        Both are coefficients of the directions with the given indices. NaN where the model is not
        finite.
        """
        curvature, slope = self._restricted(chosen, damping)
        rise, bend = float(along @ (curvature @ start + slope)), float(along @ curvature @ along)
        if not (math.isfinite(rise) and math.isfinite(bend)):
            return math.nan
        return -rise / bend if bend > 0 else 0.0

    def at(
        self, chosen: Sequence[int], coefficients: Sequence[float], damping: float
    ) -> ModelPoint:
        """The point with given coefficients of the directions with the given indices."""
        curvature, slope = self._restricted(chosen, damping)
        point = self.slope.new_tensor(list(coefficients))
        return ModelPoint(list(coefficients), float(point @ (0.5 * curvature @ point + slope)))

    def _restricted(self, chosen: Sequence[int], damping: float) -> tuple[Tensor, Tensor]:
        index = torch.tensor(list(chosen), device=self.slope.device)
        curvature = self.fisher + damping * self.inner
        return curvature[index][:, index], self.slope[index]
