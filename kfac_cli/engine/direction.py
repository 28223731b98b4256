"""The update δ from the gradient and an approximate inverse Fisher (sections 6.4, 6.6 and 7)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kfac_cli.engine.conjugate_gradient import continue_conjugate_gradient
from kfac_cli.engine.curvature.registry import Inverse
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.engine.options import KFACOptions
from kfac_cli.engine.parameters import Parameters, inner_products, linear_combination
from kfac_cli.engine.quadratic_model import ModelPoint, QuadraticModel


@dataclass(frozen=True)
class Update:
    """`delta` is δ, its `coefficients` α and, with momentum, μ; `change` is M(δ) - M(0)."""

    gamma: float
    inverse: Inverse
    delta: Parameters
    coefficients: list[float]
    change: float


def best_update(
    batch: MiniBatch,
    gradient: Parameters,
    proposals: Sequence[tuple[float, Inverse, Parameters]],
    previous_update: Parameters | None,
    damping: float,
    options: KFACOptions,
) -> Update:
    """The update with the lowest M(δ) over the candidates for γ.

    `gradient` is ∇h. `proposals` holds γ, its inverse and Δ = -F₀⁻¹∇h for each candidate. With
    `previous_update` δ₀ the update is δ = αΔ + μδ₀, without it αΔ. `damping` is λ.
    """
    directions = [proposal for _, _, proposal in proposals]
    if previous_update is not None:
        directions.append(previous_update)
    cases = subsample_size(options.tau2, batch.cases)
    inner = inner_products([*directions, gradient])
    fisher = batch.fisher_gram(directions, cases)
    model = QuadraticModel(fisher, inner[:-1, :-1], inner[-1, :-1])
    solved = []
    for index in range(len(proposals)):
        span = [index] if previous_update is None else [index, len(directions) - 1]
        solved.append((span, _minimum(model, span, damping, options)))
    best = min(range(len(proposals)), key=lambda i: _finite_change(solved[i][1]))
    (gamma, inverse, _), (span, minimum) = proposals[best], solved[best]
    delta = linear_combination(minimum.coefficients, [directions[i] for i in span])
    change = minimum.change
    if options.cg_steps > 1 and math.isfinite(change):
        delta, change = continue_conjugate_gradient(
            batch, cases, inverse, gradient, delta, damping + options.l2, options.cg_steps - 1
        )
    return Update(gamma, inverse, delta, minimum.coefficients, change)


def subsample_size(tau: float, cases: int) -> int:
    """The number of cases in the fraction τ of a mini-batch, at least one."""
    return max(1, round(tau * cases))


def _minimum(
    model: QuadraticModel, span: list[int], damping: float, options: KFACOptions
) -> ModelPoint:
    """α (and μ) that minimise M, or the fixed learning rate if re-scaling is off."""
    if options.rescaling:
        return model.minimum(span, damping + options.l2)
    return model.at(span, [options.learning_rate], damping + options.l2)


def _finite_change(minimum: ModelPoint) -> float:
    return minimum.change if math.isfinite(minimum.change) else math.inf
