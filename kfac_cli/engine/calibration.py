"""A starting value for λ, found by trial steps; the paper starts every problem at λ = 150.

A λ₀ that is too large costs dozens of iterations while the Levenberg-Marquardt rule takes it down,
one that is too small makes the first steps useless. Both show at once in how far a step brings the
objective down on cases that it was not made from.
"""

import logging
import math
from collections.abc import Callable

from torch import Tensor

from kfac_cli.engine.curvature.estimate import Curvature
from kfac_cli.engine.curvature.factors import KroneckerFactors
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.direction import best_proposal
from kfac_cli.engine.model.minibatch import MiniBatch, StatisticsRequest
from kfac_cli.engine.model.network import Network
from kfac_cli.engine.options import KFACOptions
from kfac_cli.engine.parameters import Parameters, add_l2_gradient

logger = logging.getLogger(__name__)

FACTOR = 10.0
"""Ratio of neighbouring trial values; the decrease is flat around its best."""

MIN_GAIN = 0.02
"""How much more a trial value has to bring for the search to go on to it."""

TOLERANCE = 0.1
"""How much of the best decrease a smaller λ may give away: later steps want less damping."""

MAX_STEPS_BELOW_BEST = 2
"""How many trial values below the best one that may lead: flat decreases say little."""

MAX_TRIALS = 40
MAX_FAILURES = 5
"""Trial values in all, and those in a row at the start that may be of no use."""


def calibrated_lambda(
    network: Network,
    parameters: Parameters,
    inputs: Tensor,
    targets: Tensor,
    options: KFACOptions,
    seeds: tuple[int, ...],
    fallbacks: Fallbacks | None = None,
) -> float:
    """The smallest λ whose first update lowers the objective about as far as any does.

    The first half of the mini-batch `inputs` (m, d_0), `targets` (m, d_ℓ) makes the update, with
    γ = √(λ+η); the second half judges it, where it can. The search starts at the
    mean eigenvalue of the block-diagonal F̃, the natural scale of the problem, and goes up or down
    by factors of ten for as long as that helps, and then down while a tenth of the decrease at most
    is lost: no range is set. `seeds` draw the sampled targets; `fallbacks` counts what the trials
    fall back on.
    """
    trial = _Trial(network, parameters, inputs, targets, options, seeds, fallbacks)
    center = mean_eigenvalue(trial.statistics)
    if not (math.isfinite(center) and center > 0):
        return 1.0
    exponent = _best_exponent(lambda e: trial.decrease(center * FACTOR**e, trial.held_out))
    if exponent is None:
        # A small and noisy mini-batch may say nothing of held-out cases. Then the natural scale has
        # to do, or the first above it at which the step is of use to the cases it was made from.
        exponent = _first_success(lambda e: trial.decrease(center * FACTOR**e, trial.fit)) or 0
    damping = center * FACTOR**exponent
    logger.info("initial lambda %.4g, from a mean curvature of %.4g", damping, center)
    return damping


def _best_exponent(decrease: Callable[[int], float]) -> int | None:
    """The smallest exponent near the best one, `decrease` being minus infinity for useless ones.

    From the first that is of use up or down to the best, and down again; None where none is.
    """
    found: dict[int, float] = {}

    def value(exponent: int) -> float:
        if exponent not in found and len(found) < MAX_TRIALS:
            found[exponent] = decrease(exponent)
        return found.get(exponent, -math.inf)

    exponent = _first_success(value)
    if exponent is None:
        return None
    step = 1 if value(exponent + 1) > value(exponent) else -1
    while value(exponent + step) > (1 + MIN_GAIN) * value(exponent):
        exponent += step
    best = value(exponent)
    for _ in range(MAX_STEPS_BELOW_BEST):
        if not value(exponent - 1) >= (1 - TOLERANCE) * best > 0:
            break
        exponent -= 1
    return exponent


def _first_success(decrease: Callable[[int], float]) -> int | None:
    """The first exponent from 0 up that is of use; None where none of the first few is."""
    useful = (e for e in range(MAX_FAILURES + 1) if decrease(e) > -math.inf)
    return next(useful, None)


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
        fallbacks: Fallbacks | None,
    ) -> None:
        half = max(1, inputs.shape[0] // 2)
        fit, held_out = slice(half), slice(half, None) if inputs.shape[0] > 1 else slice(None)
        self.fit, self.held_out = (
            MiniBatch(
                network,
                parameters,
                part := inputs[rows],
                part if targets is inputs else targets[rows],
                options.chunk_size,
            )
            for rows in (fit, held_out)
        )
        neighbours = options.inverse == "block_tridiagonal"
        request = StatisticsRequest(half, neighbours, seeds, options.fisher)
        first = self.fit.first_order(request)
        assert first.statistics is not None
        self.statistics = first.statistics
        self._gradient = add_l2_gradient(first.gradient, parameters, options.l2)
        self._curvature = Curvature(options, fallbacks)
        self._curvature.update(first.statistics, 1)
        self._parameters = parameters
        self._options = options

    def decrease(self, damping: float, judging: MiniBatch) -> float:
        """h(θ) - h(θ + δ) on `judging`, one of the two halves.

        Minus infinity where the quadratic model is not to be trusted: where the decrease is less
        than a quarter of what M predicted, as in section 6.5, or not finite, and where h increases.
        """
        gamma = self._options.gamma_at(damping)
        inverse = self._curvature.make_inverse(gamma)
        delta = [layer.neg_() for layer in inverse.multiply(self._gradient)]
        proposal = best_proposal(
            self.fit,
            self._gradient,
            [(gamma, inverse, delta)],
            None,
            damping,
            self._options,
        )
        candidate = [p + d for p, d in zip(self._parameters, proposal.update, strict=True)]
        l2 = self._options.l2
        decrease = judging.objective(self._parameters, l2) - judging.objective(candidate, l2)
        # A raw update may go where M promises an increase; h alone judges it.
        predicted = -proposal.change if self._options.rescaling else 0.0
        trusted = math.isfinite(decrease) and decrease >= max(0.25 * predicted, 0.0)
        return decrease if trusted else -math.inf
