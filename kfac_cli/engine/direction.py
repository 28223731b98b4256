"""The update δ from the gradient and an approximate inverse Fisher (sections 6.4, 6.6 and 7)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from kfac_cli.engine.conjugate_gradient import continue_conjugate_gradient
from kfac_cli.engine.curvature.protocol import Curvature, Inverse
from kfac_cli.engine.linearization import Linearization
from kfac_cli.engine.options.kfac import KFACOptions
from kfac_cli.engine.parameters import Parameters, all_finite, linear_combination
from kfac_cli.engine.pending import PendingInverses
from kfac_cli.engine.processes import ALONE, Processes
from kfac_cli.engine.quadratic_model import ModelPoint, resolution
from kfac_cli.engine.state_rules import Rule, like, optional, record
from kfac_cli.engine.subspace import Subspaces

ROUNDING = 1e-9
"""How far below a whole number of cases a product τm may be rounded, such as 0.29 * 100."""


@dataclass(frozen=True)
class Update:
    """`delta` is δ, its `coefficients` α and, with momentum, μ; `change` is M(δ) - M(0).

    `change` is None if nothing needed it, and M was not computed. `finite` says whether all entries
    of δ are.
    """

    gamma: float
    inverse: Inverse
    delta: Parameters
    coefficients: list[float]
    change: float | None
    finite: bool

    @property
    def alpha(self) -> float:
        """α."""
        return self.coefficients[0]

    @property
    def mu(self) -> float | None:
        """μ; None without momentum."""
        return self.coefficients[1] if len(self.coefficients) > 1 else None


class Direction:
    """Proposes Δ = -F₀⁻¹∇h and turns it into δ.

    `inverse` is F₀⁻¹ for the γ last chosen, and `previous_update` is δ₀; both are None at the start
    and after a rejected step. `pending` are the inverses that are being computed in the background,
    if there are any. `processes` make the inverses together.
    """

    def __init__(
        self, options: KFACOptions, curvature: Curvature, processes: Processes = ALONE
    ) -> None:
        self.options = options
        self.curvature = curvature
        self.processes = processes
        self.inverse: Inverse | None = None
        self.previous_update: Parameters | None = None
        self.pending: PendingInverses | None = None

    def best(
        self,
        here: Linearization,
        iteration: int,
        gammas: Sequence[float],
        damping: float,
        *,
        needs_change: bool = True,
    ) -> Update:
        """The update with the lowest M(δ) over the candidates for γ; `damping` is λ.

        The inverse is refreshed in the first iterations, every T₃ iterations (section 8), and for a
        new γ. In the background, a refresh or search that begins later is used `refresh_delay`
        iterations after that. Where μ is held, the first iterations have no δ₀: they raise λ until
        the update decreases h, which no λ does where it is the momentum that leads uphill.
        """
        options = self.options
        candidates = self._candidates(iteration, gammas, here)
        begins = options.mu is not None and iteration <= options.first_iterations
        previous = None if begins or not options.momentum else self.previous_update
        return best_update(here, candidates, previous, damping, options, needs_change=needs_change)

    def _candidates(
        self, iteration: int, gammas: Sequence[float], here: Linearization
    ) -> list[tuple[float, Inverse]]:
        """Each γ to choose from, and its inverse."""
        if (new := self._refreshed(iteration, gammas)) is not None:
            return [(gamma, inverse.at(here.parameters, here.products)) for gamma, inverse in new]
        assert self.inverse is not None
        return [(gammas[0], self.curvature.latest(self.inverse, gammas[0]))]

    def _refreshed(
        self, iteration: int, gammas: Sequence[float]
    ) -> Sequence[tuple[float, Inverse]] | None:
        """The new inverses of this iteration, if any; in the background it may begin others."""
        options, pending = self.options, self.pending
        first = iteration <= options.first_iterations
        due = len(gammas) > 1 or first or iteration % options.t3 == 0
        wait = self.inverse is None or first or options.refresh == "immediate"
        if self.inverse is None or (due and wait):
            self.pending = None
            inverses = self.curvature.inverses(gammas, self.processes)
            return list(zip(gammas, inverses, strict=True))
        if due:
            later = iteration + options.refresh_delay
            state = self.curvature.state_dict()
            self.pending = PendingInverses(options, state, gammas, later, self.processes)
        elif pending is not None and pending.iteration == iteration:
            self.pending = None
            return pending.candidates(self.curvature)
        return None

    def follow(self, update: Update) -> None:
        """Continue from an update that was made."""
        self.inverse, self.previous_update = update.inverse, update.delta

    def forget(self) -> None:
        """Start again without momentum, and with a new inverse."""
        self.inverse = self.previous_update = self.pending = None

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to resume exactly."""
        return {
            "inverse": None if self.inverse is None else self.inverse.state_dict(),
            "previous_update": self.previous_update,
            "pending": None if self.pending is None else self.pending.state_dict(),
        }

    def state_rules(self, parameters: Parameters) -> Rule:
        """What `state_dict` may return for `parameters` of these shapes."""
        return record(
            {
                "inverse": optional(self.curvature.inverse_rules(parameters)),
                "previous_update": optional(like(parameters)),
                "pending": optional(PendingInverses.state_rules(self.curvature, parameters)),
            }
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned."""
        inverse = state["inverse"]
        self.inverse = None if inverse is None else self.curvature.restore(inverse)
        self.previous_update = state["previous_update"]
        if (pending := state["pending"]) is None:
            self.pending = None
        elif self.pending is None or not self.pending.is_at(pending):
            self.pending = PendingInverses(self.options, **pending, processes=self.processes)


def best_update(
    here: Linearization,
    candidates: Sequence[tuple[float, Inverse]],
    previous_update: Parameters | None,
    damping: float,
    options: KFACOptions,
    *,
    needs_change: bool = True,
) -> Update:
    """The update with the lowest M(δ) over the candidates, each a γ and its inverse.

    The proposals are Δ = -F₀⁻¹∇h. With `previous_update` δ₀ the update is δ = αΔ + μδ₀, without it
    αΔ. `damping` is λ. Where α and μ are fixed, and neither a choice between candidates nor
    `needs_change` requires M, no products with F are computed.
    """
    proposals = [_proposal(here, inverse) for _, inverse in candidates]
    if not options.rescaling and len(candidates) == 1 and not needs_change:
        [(gamma, inverse)], [proposal] = candidates, proposals
        coefficients, delta = fixed_update(proposal, previous_update, options)
        return Update(gamma, inverse, delta, coefficients, None, all_finite(delta))
    cases = subsample_size(options.tau2, here.batch.cases)
    spans = Subspaces.of(here, here.gradient, proposals, previous_update, cases)
    minima = [model_minimum(spans, index, damping, options) for index in range(len(candidates))]
    best = _lowest(minima, spans.model.epsilon)
    (gamma, inverse), minimum = candidates[best], minima[best]
    delta = spans.update(best, minimum.coefficients)
    change = minimum.change
    finite = spans.surely_finite(best, minimum.coefficients)
    if options.cg_steps > 1 and math.isfinite(change):
        delta, change = continue_conjugate_gradient(
            here, cases, inverse, delta, change, damping + options.l2, options.cg_steps - 1
        )
        finite = False
    finite = finite or all_finite(delta)
    return Update(gamma, inverse, delta, minimum.coefficients, change, finite)


def fixed_update(
    proposal: Parameters, previous_update: Parameters | None, options: KFACOptions
) -> tuple[list[float], Parameters]:
    """α and μ of the options, those without re-scaling, and δ = αΔ + μδ₀."""
    coefficients, terms = [options.learning_rate], [proposal]
    if previous_update is not None and options.mu is not None:
        coefficients, terms = [*coefficients, options.mu], [*terms, previous_update]
    return coefficients, linear_combination(coefficients, terms)


def subsample_size(tau: float, cases: int) -> int:
    """The number of cases in the fraction τ of a mini-batch: at least one, else rounded down.

    So two subsets fit into two or more cases without overlap while their fractions do.
    """
    return max(1, math.floor(tau * cases + ROUNDING))


def _proposal(here: Linearization, inverse: Inverse) -> Parameters:
    product = inverse.multiply_gradient(here.gradient, here.first.case_factors, here.products)
    torch._foreach_neg_(product)
    return product


def model_minimum(spans: Subspaces, index: int, damping: float, options: KFACOptions) -> ModelPoint:
    """α and μ that minimise M, as far as the options leave them open, and M there.

    With `mu`, only α; times `alpha_scale`; without re-scaling, the fixed learning rate.
    """
    damping += options.l2
    if not options.rescaling:
        return spans.at(index, options.learning_rate, options.mu, damping=damping)
    if options.mu is None:
        point = spans.minimum(index, damping)
    else:
        point = spans.minimum_over_alpha(index, options.mu, damping)
    if options.alpha_scale == 1:
        return point
    alpha, *mu = point.coefficients
    return spans.at(index, options.alpha_scale * alpha, *mu, damping=damping)


def _lowest(minima: Sequence[ModelPoint], epsilon: float) -> int:
    """The index of the lowest point; the first, for the current γ, unless another is lower.

    A difference that may be a rounding error does not make it lower.
    """
    changes = [p.change if math.isfinite(p.change) else math.inf for p in minima]
    lowest = min(changes)
    if changes[0] - lowest <= resolution(epsilon) * abs(lowest):
        return 0
    return changes.index(lowest)
