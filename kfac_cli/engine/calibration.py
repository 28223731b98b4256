"""An initial λ found by trial steps; the paper starts every problem at λ = 150.

A λ₀ that is too large costs dozens of iterations until the Levenberg-Marquardt rule has decreased
it; one that is too small makes the first steps fail. Both show at once in how much a step decreases
the objective on held-out cases.
"""

import logging
import math
from collections.abc import Callable

from torch import Tensor

from kfac_cli.engine.curvature.estimate import Curvature
from kfac_cli.engine.curvature.factors import KroneckerFactors
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.direction import best_update
from kfac_cli.engine.model.minibatch import MiniBatch, StatisticsRequest
from kfac_cli.engine.model.network import Network
from kfac_cli.engine.options import KFACOptions
from kfac_cli.engine.parameters import Parameters, add_l2_gradient

logger = logging.getLogger(__name__)

FACTOR = 10.0
"""Ratio of successive trial values; the decrease is flat around its maximum."""

MIN_GAIN = 0.02
"""Relative gain in the decrease that a trial value needs for the search to move on to it."""

TOLERANCE = 0.1
"""Fraction of the best decrease given up for a smaller λ: later steps need less damping."""

MAX_STEPS_BELOW_BEST = 2
"""Maximum number of trial values that this goes below the best: flat decreases are unreliable."""

MAX_TRIALS = 40
MAX_FAILURES = 5
"""Maximum numbers of trial values, and of failures before the first success."""


def calibrated_lambda(
    network: Network,
    parameters: Parameters,
    inputs: Tensor,
    targets: Tensor,
    options: KFACOptions,
    seeds: tuple[int, ...],
    fallbacks: Fallbacks | None = None,
) -> float:
    """The smallest λ whose first update decreases the objective about as much as any other's.

    The update is computed from the first half of the mini-batch `inputs` (m, d_0), `targets`
    (m, d_ℓ), with γ = √(λ+η), and evaluated on the second. The search starts at the mean eigenvalue
    of the block-diagonal F̃, the natural scale of the problem, moves up or down by factors of ten
    while that helps, and then down while at most a tenth of the decrease is lost: there are no
    bounds on λ. `seeds` are for the sampled targets; `fallbacks` counts the trials' fallbacks.
    """
    trial = _Trial(network, parameters, inputs, targets, options, seeds, fallbacks)
    center = mean_eigenvalue(trial.statistics)
    if not (math.isfinite(center) and center > 0):
        return 1.0
    exponent = _best_exponent(lambda e: trial.decrease(center * FACTOR**e, trial.held_out))
    if exponent is None:
        # From a small, noisy mini-batch all steps may fail on held-out cases. Then take the natural
        # scale, or the first value above it whose step succeeds on the cases it was computed from.
        exponent = _first_success(lambda e: trial.decrease(center * FACTOR**e, trial.fit)) or 0
    damping = center * FACTOR**exponent
    logger.info("initial lambda %.4g, from a mean curvature of %.4g", damping, center)
    return damping


def _best_exponent(decrease: Callable[[int], float]) -> int | None:
    """The smallest exponent with nearly the best `decrease`; None if all fail (minus infinity).

    The search moves from the first success up or down to the best, and down again.
    """
    known: dict[int, float] = {}

    def value(exponent: int) -> float:
        if exponent not in known and len(known) < MAX_TRIALS:
            known[exponent] = decrease(exponent)
        return known.get(exponent, -math.inf)

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
    """The first exponent from 0 up that does not fail; None if the first few do."""
    successes = (e for e in range(MAX_FAILURES + 1) if decrease(e) > -math.inf)
    return next(successes, None)


def mean_eigenvalue(factors: KroneckerFactors) -> float:
    """The average eigenvalue of the diagonal blocks Ā ⊗ G, tr F̃ / n."""
    trace = size = 0.0
    for a, g in zip(factors.activation, factors.gradient, strict=True):
        trace += float(a.diagonal().double().sum()) * float(g.diagonal().double().sum())
        size += a.shape[0] * g.shape[0]
    return trace / size


class _Trial:
    """First updates for different λ from one half of a mini-batch, evaluated on the other."""

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

    def decrease(self, damping: float, batch: MiniBatch) -> float:
        """h(θ) - h(θ + δ) on `batch`, one of the two halves; minus infinity if the trial fails.

        It fails where h increases, is not finite, or decreases by less than a quarter of what M
        predicts, as in section 6.5.
        """
        gamma = self._options.gamma_at(damping)
        inverse = self._curvature.make_inverse(gamma)
        proposal = [layer.neg_() for layer in inverse.multiply(self._gradient)]
        update = best_update(
            self.fit,
            self._gradient,
            [(gamma, inverse, proposal)],
            None,
            damping,
            self._options,
        )
        candidate = [p + d for p, d in zip(self._parameters, update.delta, strict=True)]
        l2 = self._options.l2
        decrease = batch.objective(self._parameters, l2) - batch.objective(candidate, l2)
        # Without re-scaling, M may predict an increase; then h alone decides.
        predicted = -update.change if self._options.rescaling else 0.0
        success = math.isfinite(decrease) and decrease >= max(0.25 * predicted, 0.0)
        return decrease if success else -math.inf
