"""An initial λ found by trial steps; the paper starts every problem at λ = 150.

A λ₀ that is too large costs dozens of iterations until the Levenberg-Marquardt rule has decreased
it; one that is too small makes the first steps fail. Both show at once in how much a step decreases
the objective on held-out cases.
"""

import logging
import math
from collections.abc import Callable
from functools import cache

from kfac_cli.engine.acceptance import is_sufficient
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.registry import make_curvature
from kfac_cli.engine.direction import best_update
from kfac_cli.engine.linearization import Linearization, statistics_request
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.engine.options import KFACOptions

logger = logging.getLogger(__name__)

FACTOR = 10.0
"""Ratio of successive trial values; the decrease is flat around its maximum."""

MIN_GAIN = 0.02
"""Relative gain in the decrease that a trial value needs for the search to move on to it."""

TOLERANCE = 0.1
"""Fraction of the best decrease given up for a smaller λ: later steps need less damping."""

MAX_STEPS_BELOW_BEST = 2
"""Maximum number of trial values that this goes below the best: flat decreases are unreliable."""

FLATNESS = 0.02
"""Relative difference of objectives on held-out cases within which the larger λ is taken."""

INEFFECTIVE = 1e-2
SMALLEST = 1e-16
"""Fractions of η and of the mean curvature below which λ makes no difference."""

MAX_TRIALS = 40
MAX_FAILURES = 5
"""Maximum numbers of trial values, and of failures before the first success."""


def calibrated_lambda(
    batch: MiniBatch,
    options: KFACOptions,
    seeds: tuple[int, ...],
    fallbacks: Fallbacks | None = None,
) -> float:
    """The smallest λ whose first update decreases the objective about as much as any other's.

    The update is computed from the first half of the mini-batch, with γ = √(λ+η), and evaluated on
    the second. The search starts at the mean eigenvalue of the curvature, the natural scale of the
    problem, moves up or down by factors of ten while that helps, and then down while at most a
    tenth of the decrease is lost: there are no bounds on λ. Where the curvature has several scales,
    the largest of which accounts for nearly all of the decrease, it then moves down as long as a
    smaller λ loses nothing, to what is left of the objective. `seeds` are for the sampled targets;
    `fallbacks` counts the trials' fallbacks.
    """
    trial = _Trial(batch, options, seeds, fallbacks)
    center = trial.curvature.mean_eigenvalue()
    if not (math.isfinite(center) and center > 0):
        return 1.0

    @cache
    def decrease(exponent: int) -> float:
        return trial.decrease(center * FACTOR**exponent, trial.held_out)

    exponent = _best_exponent(decrease)
    if exponent is not None and batch.cases > 1:
        smallest = max(INEFFECTIVE * options.l2 / center, SMALLEST)
        remaining = trial.held_out.objective(batch.parameters, options.l2)
        exponent = _without_loss(decrease, exponent, remaining, round(math.log10(smallest)))
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


def _without_loss(decrease: Callable[[int], float], start: int, objective: float, last: int) -> int:
    """An exponent below `start`, down to `last`, if no trial on the way there loses anything.

    It is the largest that leaves of the `objective` about as little as any. Curvatures far apart
    leave intervals of λ between them in which nothing changes, so a gain ends none of them.
    """
    left = {start: objective - decrease(start)}
    exponent = start
    while exponent > last:
        following = objective - decrease(exponent - 1)
        if not following <= left[exponent]:
            break
        exponent -= 1
        left[exponent] = following
    return max(e for e, rest in left.items() if rest <= (1 + FLATNESS) * left[exponent])


def _first_success(decrease: Callable[[int], float]) -> int | None:
    """The first exponent from 0 up that does not fail; None if the first few do."""
    successes = (e for e in range(MAX_FAILURES + 1) if decrease(e) > -math.inf)
    return next(successes, None)


class _Trial:
    """First updates for different λ from one half of a mini-batch, evaluated on the other."""

    def __init__(
        self,
        batch: MiniBatch,
        options: KFACOptions,
        seeds: tuple[int, ...],
        fallbacks: Fallbacks | None,
    ) -> None:
        half = max(1, batch.cases // 2)
        self.fit = batch.part(slice(half))
        self.held_out = batch.part(slice(half, None)) if batch.cases > 1 else batch
        self.curvature = make_curvature(options, fallbacks)
        request = statistics_request(self.curvature.needs, options, half, seeds)
        self._here = Linearization.of(self.fit, options.l2, request)
        self.curvature.update(self._here.first.statistics, 1)
        self._options = options

    def decrease(self, damping: float, batch: MiniBatch) -> float:
        """h(θ) - h(θ + δ) on `batch`, one of the two halves; minus infinity if the trial fails."""
        options, here = self._options, self._here
        gamma = options.gamma_at(damping)
        [inverse] = self.curvature.inverses([gamma])
        update = best_update(here, [(gamma, inverse)], None, damping, options)
        before = batch.objective(here.parameters, options.l2)
        decrease = before - batch.objective(here.shifted(update.delta), options.l2)
        return decrease if is_sufficient(decrease, update.change, options) else -math.inf
