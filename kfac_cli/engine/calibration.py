"""A starting value for λ, found by trial steps; the paper starts every problem at λ = 150.

A λ₀ that is too large costs dozens of iterations while the Levenberg-Marquardt rule takes it down,
one that is too small makes the first steps useless. Both show at once in how far a step brings the
objective down on cases that it was not made from.
"""

import logging
import math
from collections.abc import Callable

from torch import Tensor

from kfac_cli.engine.curvature import Curvature
from kfac_cli.engine.factors import KroneckerFactors
from kfac_cli.engine.minibatch import MiniBatch, StatisticsRequest
from kfac_cli.engine.network import Network, Parameters
from kfac_cli.engine.options import KFACOptions
from kfac_cli.engine.proposal import best_proposal
from kfac_cli.engine.regularization import add_l2_gradient, l2_penalty

logger = logging.getLogger(__name__)

FACTOR = 10.0
"""Ratio of neighbouring trial values; the decrease is flat around its best."""

TOLERANCE = 0.1
"""How much of the best decrease a smaller λ may give away: later steps want less damping."""

LEAN = 2
"""How many trial values below the best one that may lead: flat decreases say little."""

MOST_TRIALS = 40


def calibrated_lambda(
    network: Network,
    parameters: Parameters,
    inputs: Tensor,
    targets: Tensor,
    options: KFACOptions,
    seeds: tuple[int, ...],
) -> float:
    """The smallest λ whose first update lowers the objective about as far as any does.

    The first half of the mini-batch `inputs` (m, d_0), `targets` (m, d_ℓ) makes the update, with
    γ = √(λ+η); the second half judges it (a single case has to do both). The search starts at the
    mean eigenvalue of the block-diagonal F̃, the natural scale of the problem, and goes up or down
    by factors of ten for as long as that helps, and then down while a tenth of the decrease at most
    is lost: no range is set. `seeds` draw the sampled targets.
    """
    trial = _Trial(network, parameters, inputs, targets, options, seeds)
    center = mean_eigenvalue(trial.statistics)
    if not (math.isfinite(center) and center > 0):
        return 1.0
    exponent = _best_exponent(lambda e: trial.decrease(center * FACTOR**e))
    damping = center * FACTOR**exponent
    logger.info("initial lambda %.4g, from a mean curvature of %.4g", damping, center)
    return damping


def _best_exponent(decrease: Callable[[int], float]) -> int:
    """The smallest exponent near the best one: up or down from 0 to the best, then down again."""
    found: dict[int, float] = {}

    def value(exponent: int) -> float:
        if exponent not in found and len(found) < MOST_TRIALS:
            found[exponent] = decrease(exponent)
        return found.get(exponent, -math.inf)

    exponent = 0
    step = 1 if value(1) > value(0) else -1
    while value(exponent + step) > value(exponent):
        exponent += step
    best = value(exponent)
    for _ in range(LEAN):
        if not value(exponent - 1) >= (1 - TOLERANCE) * best > 0:
            break
        exponent -= 1
    return exponent


def mean_eigenvalue(factors: KroneckerFactors) -> float:
    """tr F̃ / n: the average eigenvalue of the diagonal blocks Ā ⊗ G."""
    trace = size = 0.0
    for a, g in zip(factors.activation, factors.gradient, strict=True):
        trace += float(a.diagonal().double().sum()) * float(g.diagonal().double().sum())
        size += a.shape[0] * g.shape[0]
    return trace / size


class _Trial:
    """First updates for different λ from one half of a mini-batch, judged on the other."""

    def __init__(
        self,
        network: Network,
        parameters: Parameters,
        inputs: Tensor,
        targets: Tensor,
        options: KFACOptions,
        seeds: tuple[int, ...],
    ) -> None:
        half = max(1, inputs.shape[0] // 2)
        seen, unseen = slice(half), slice(half, None) if inputs.shape[0] > 1 else slice(None)
        self._making, self._judging = (
            MiniBatch(
                network,
                parameters,
                part := inputs[rows],
                part if targets is inputs else targets[rows],
                options.chunk_size,
            )
            for rows in (seen, unseen)
        )
        neighbours = options.inverse == "block_tridiagonal"
        request = StatisticsRequest(half, neighbours, seeds, options.fisher)
        first = self._making.first_order(request)
        assert first.statistics is not None
        self.statistics = first.statistics
        self._gradient = add_l2_gradient(first.gradient, parameters, options.l2)
        self._curvature = Curvature(options)
        self._curvature.update(first.statistics, 1)
        self._parameters = parameters
        self._options = options
        self._start = self._objective(parameters)

    def decrease(self, damping: float) -> float:
        """h(θ) - h(θ + δ) on the judging half; minus infinity where it is not finite."""
        gamma = self._options.gamma_at(damping)
        inverse = self._curvature.make_inverse(gamma)
        delta = [layer.neg_() for layer in inverse.multiply(self._gradient)]
        proposal = best_proposal(
            self._making,
            self._gradient,
            [(gamma, inverse, delta)],
            None,
            damping,
            self._options,
        )
        moved = [p + d for p, d in zip(self._parameters, proposal.update, strict=True)]
        decrease = self._start - self._objective(moved)
        return decrease if math.isfinite(decrease) else -math.inf

    def _objective(self, parameters: Parameters) -> float:
        return self._judging.evaluate(parameters).loss + l2_penalty(parameters, self._options.l2)
