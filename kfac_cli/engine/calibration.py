"""An initial λ found by trial steps; the paper starts every problem at λ = 150.

A λ₀ that is too large costs dozens of iterations until the Levenberg-Marquardt rule has decreased
it; one that is too small makes the first steps fail. Both show at once in how much a step decreases
the objective on held-out cases.
"""

import logging
import math
from collections.abc import Callable
from copy import copy
from functools import cache

import torch
from torch import Tensor

from kfac_cli.engine.acceptance import is_sufficient
from kfac_cli.engine.curvature.few_cases import FewCases
from kfac_cli.engine.direction import fixed_update, model_minimum, subsample_size
from kfac_cli.engine.linearization import Linearization
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.engine.model.statistics import StatisticsRequest, output_gradients
from kfac_cli.engine.options.kfac import KFACOptions
from kfac_cli.engine.parameters import Parameters, linear_combination, squared_norm
from kfac_cli.engine.subspace import Subspaces
from kfac_cli.engine.transfer import fetch_numbers

logger = logging.getLogger(__name__)

FACTOR = 10.0
"""Ratio of successive trial values; the decrease is flat around its maximum."""

MIN_GAIN = 0.02
"""Relative gain in the decrease that a trial value needs for the search to move on to it."""

TOLERANCE = 0.05
"""Fraction of the best decrease given up for a smaller λ: later steps need less damping."""

FLATNESS = 0.02
"""Relative difference of objectives on held-out cases within which the larger λ is taken."""

INEFFECTIVE = 1e-2
SMALLEST = 1e-16
"""Fractions of η and of the mean curvature below which λ makes no difference."""

CURVATURE_CASES = 256
MAX_PASSES = 8
"""Maximum numbers of cases, and of backward passes, for the curvature of the trials."""

MANY_CASES = 2 * CURVATURE_CASES
"""Cases of a mini-batch whose halves both suffice for that.

With fewer, more calibrations than algorithm 2 has first iterations lead to a λ that is too small:
each result is the least so far of values that vary with the cases.
"""

MAX_TRIALS = 40
MAX_FAILURES = 5
"""Maximum numbers of trial values, and of failures before the first success."""


def calibrated_lambda(
    batch: MiniBatch,
    options: KFACOptions,
    seeds: tuple[int, ...],
    known: float | None = None,
    report: Callable[[str], None] | None = None,
) -> float:
    """The smallest λ whose first update decreases the objective about as much as any other's.

    The update is computed from the first half of the mini-batch, with γ = √(λ+η), and evaluated on
    the second. Its curvature is that of at most `CURVATURE_CASES` cases, with factored Tikhonov
    damping and π of the trace norm whatever the options say, which makes a trial cheap. The search
    starts at the mean eigenvalue of the curvature, the natural scale of the problem, moves up or
    down by factors of ten while that helps, and then one step down if little of the decrease is
    lost: there are no bounds on λ. Where the curvature has several scales, the largest of which
    accounts for nearly all of the decrease, it then moves down as long as a smaller λ loses
    nothing, to what is left of the objective. With a `known` λ, of an earlier mini-batch, it starts
    there, and the result is no larger. `seeds` are for the sampled targets; `report` is told what
    is being tried.
    """
    trial = _Trial(batch, options, seeds)
    mean = trial.mean_eigenvalue()
    center = mean if known is None else known
    if not (trial.is_finite and all(math.isfinite(x) and x > 0 for x in (mean, center))):
        return 1.0 if known is None else known

    @cache
    def decrease(exponent: int) -> float:
        if report is not None:
            report(f"calibrating lambda, trying {center * FACTOR**exponent:.1g}")
        return trial.decrease(center * FACTOR**exponent)

    exponent = _best_exponent(decrease)
    if exponent is not None and batch.cases > 1:
        smallest = max(INEFFECTIVE * options.l2, SMALLEST * mean) / center
        exponent = _without_loss(decrease, exponent, trial.objective, round(math.log10(smallest)))
    if exponent is None and known is None:
        # From a small, noisy mini-batch all steps may fail on held-out cases. Then take the natural
        # scale, or the first value above it whose step succeeds on the cases it was computed from.
        again = trial.on_its_own_cases()
        exponent = _first_success(lambda e: again.decrease(center * FACTOR**e))
    damping = center * FACTOR ** (exponent or 0)
    if known is not None:
        damping = min(damping, known)
    logger.info("lambda is calibrated to %.4g, by trials from %.4g on", damping, center)
    return damping


def _best_exponent(decrease: Callable[[int], float]) -> int | None:
    """The smallest exponent with nearly the best `decrease`; None if all fail (minus infinity).

    The search moves from the first success up or down to the best.
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
    if value(exponent - 1) >= (1 - TOLERANCE) * best > 0:
        return exponent - 1
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
    smallest = left[exponent]
    return max(e for e, rest in left.items() if rest - smallest <= FLATNESS * abs(smallest))


def _first_success(decrease: Callable[[int], float]) -> int | None:
    """The first exponent from 0 up that does not fail; None if the first few do."""
    successes = (e for e in range(MAX_FAILURES + 1) if decrease(e) > -math.inf)
    return next(successes, None)


class _Trial:
    """First updates for different λ from one half of a mini-batch, evaluated on the other.

    There are none unless all that they are made from is finite: `is_finite`.
    """

    def __init__(self, batch: MiniBatch, options: KFACOptions, seeds: tuple[int, ...]) -> None:
        half = max(1, batch.cases // 2)
        self._options = options
        fit = batch.part(slice(half))
        cases = subsample_size(options.tau2, half)
        self._here = Linearization.of(
            fit, options.l2, kept_cases=cases, kept_bytes=options.kept_bytes
        )
        self._curvature: FewCases | None = None
        self.is_finite = self._here.finite
        if not self.is_finite:
            return
        if options.inverse != "identity":
            rows = _rows(self._here, options, seeds)
            [total] = fetch_numbers(squared_norm([*rows[0], *rows[1]]))
            self.is_finite = math.isfinite(total)
            if not self.is_finite:
                return
            coupled = options.inverse == "block_tridiagonal"
            self._curvature = FewCases(*rows, self._here.gradient, coupled=coupled)
        held_out = batch.part(slice(half, None)) if batch.cases > 1 else self._here.batch
        self._evaluate_on(held_out)

    def _evaluate_on(self, batch: MiniBatch) -> None:
        self._batch = batch
        self.objective = batch.objective(batch.parameters, self._options.l2)

    def on_its_own_cases(self) -> "_Trial":
        """The same updates, evaluated on the cases that they are computed from."""
        other = copy(self)
        other._evaluate_on(self._here.batch)
        return other

    def mean_eigenvalue(self) -> float:
        """The average eigenvalue of the curvature; 1 for the identity."""
        return 1.0 if self._curvature is None else self._curvature.mean_eigenvalue()

    def decrease(self, damping: float) -> float:
        """h(θ) - h(θ + δ) on the cases that evaluate; minus infinity if the trial fails."""
        options, here = self._options, self._here
        cases = subsample_size(options.tau2, here.batch.cases)
        if options.rescaling:
            spans = Subspaces.of(here, here.gradient, [self._proposal(damping)], None, cases)
            point = model_minimum(spans, 0, damping, options)
            delta, predicted = spans.update(0, point.coefficients), -point.change
        else:  # beyond a rate of 2, M predicts an increase at every λ: h alone decides
            _, delta = fixed_update(self._proposal(damping), None, options)
            predicted = 0.0
        decrease = self.objective - self._batch.objective(here.shifted(delta), options.l2)
        return decrease if is_sufficient(decrease, predicted) else -math.inf

    def _proposal(self, damping: float) -> Parameters:
        """-F₀⁻¹∇h as new tensors."""
        if self._curvature is None:
            return linear_combination([-1.0], [self._here.gradient])
        product = self._curvature.inverse_product(self._options.gamma_at(damping))
        return linear_combination([-1.0], [product])


def _rows(
    here: Linearization, options: KFACOptions, seeds: tuple[int, ...]
) -> tuple[list[Tensor], list[Tensor]]:
    """The ā and g of the first cases, for each layer, as rows.

    Where the Fisher of the options takes many backward passes, one target per case estimates it.
    """
    batch = here.batch.part(slice(CURVATURE_CASES))
    network, parameters = batch.network, batch.parameters
    inputs = batch.inputs.to(parameters[0].device, parameters[0].dtype)
    targets = batch.targets.to(parameters[0].device, parameters[0].dtype)
    activations = network.forward(parameters, inputs)
    exact = options.fisher == "exact" and activations.logits.shape[1] <= MAX_PASSES
    fisher = options.fisher if exact or options.fisher == "empirical" else "sampled"
    request = StatisticsRequest(batch.cases, False, seeds[:1], fisher)
    passes = list(output_gradients(network, activations.logits, targets, 0, request))
    scale = math.sqrt(len(passes))  # the exact Fisher is a sum over its passes
    backward = [network.backward(parameters, activations, each * scale) for each in passes]
    return activations.homogeneous, [torch.cat(rows) for rows in zip(*backward, strict=True)]
