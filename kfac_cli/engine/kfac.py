"""K-FAC: algorithm 2 of Martens and Grosse (2015)."""

import logging
import math
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from kfac_cli.engine.acceptance import Safeguard
from kfac_cli.engine.calibration import calibrated_lambda
from kfac_cli.engine.curvature.block_diagonal import BlockDiagonalInverse
from kfac_cli.engine.curvature.estimate import Curvature
from kfac_cli.engine.curvature.registry import Inverse
from kfac_cli.engine.damping import INCREASE_FACTOR, Damping, reduction_ratio
from kfac_cli.engine.direction import Update, best_update, subsample_size
from kfac_cli.engine.model.gradient_noise import noise_scale
from kfac_cli.engine.model.minibatch import FirstOrder, MiniBatch, StatisticsRequest
from kfac_cli.engine.model.network import Network
from kfac_cli.engine.model.sampling import draw_seeds
from kfac_cli.engine.options import KFACOptions
from kfac_cli.engine.parameters import Parameters, add_l2_gradient, all_finite, l2_penalty
from kfac_cli.engine.record import StepRecord

logger = logging.getLogger(__name__)

CALIBRATED_ITERATIONS = 3
"""Number of first iterations that calibrate λ if asked to; they refresh the inverse anyway."""

MAX_INCREASES = 30
"""Maximum number of increases of λ in one of these iterations."""


class KFAC:
    """The K-FAC optimizer: each `step` is one iteration.

    `parameters` is θ, replaced by new tensors at each step; all computations use its dtype and
    device. `generator` is for the sampled targets.
    """

    adapts = True

    def __init__(
        self,
        network: Network,
        parameters: Parameters,
        options: KFACOptions,
        generator: torch.Generator,
    ) -> None:
        self.network = network
        self.parameters = parameters
        self.options = options
        self.generator = generator
        self.iteration = 0
        self.curvature = Curvature(options)
        self.previous_update: Parameters | None = None
        self._safeguard = Safeguard(options, parameters)
        self._damping = Damping(options)

    @property
    def fallbacks(self) -> dict[str, int]:
        """How often rounding errors made a factorisation use a fallback, by kind."""
        return asdict(self.curvature.fallbacks)

    @property
    def damping(self) -> float:
        """λ; 0 before the first step if it is to be calibrated."""
        return self._damping.value

    @property
    def gamma(self) -> float:
        """γ; 0 before the first step if λ is to be calibrated."""
        return self._damping.gamma

    def step(self, inputs: Tensor, targets: Tensor, *, measure_noise: bool = False) -> StepRecord:
        """Run one iteration of algorithm 2 on a mini-batch in random order.

        `inputs` (m, d_0), `targets` (m, d_ℓ); the fractions τ₁ and τ₂ are their first cases. A step
        that is not finite is rejected. If the last step increased h too much, it is reverted and
        this one rejected. `measure_noise` asks for the record's `noise_scale`, which needs two or
        more cases.
        """
        options = self.options
        self.iteration += 1
        if self._calibrating:
            self._calibrate(inputs, targets)
        batch = MiniBatch(self.network, self.parameters, inputs, targets, options.chunk_size)

        first = batch.first_order(
            self._statistics_request(batch.cases),
            variance=measure_noise,
            case_factors=options.inverse == "block_diagonal" and options.l2 == 0,
        )
        objective = first.loss + l2_penalty(self.parameters, options.l2)
        gradient = add_l2_gradient(first.gradient, self.parameters, options.l2)
        assert first.statistics is not None
        if not (math.isfinite(objective) and all_finite(gradient, first.statistics.tensors())):
            return self._revert(objective, first.error, "the last step led to non-finite values")
        if self._safeguard.rejects_last_step(batch, objective):
            return self._revert(objective, first.error, "the last step exceeded growth_max")
        self._safeguard.accept(self.parameters, objective)
        self.curvature.update(first.statistics, self.iteration)

        update = self._best_update(batch, first, gradient)
        if self._calibrating:
            update = self._increase_damping_until_accepted(
                update, batch, first, gradient, objective
            )
        if not all_finite(update.delta):
            return self._reject(objective, first.error, "its update is not finite")
        self._damping.gamma, self.curvature.inverse = update.gamma, update.inverse
        new_parameters = [p + d for p, d in zip(self.parameters, update.delta, strict=True)]

        rho = None
        if self.iteration % options.t1 == 0:
            reached = batch.objective(new_parameters, options.l2)
            if self._safeguard.exceeds_growth_limit(objective, reached):
                return self._reject(objective, first.error, "its update exceeds growth_max")
            rho = self._reduction_ratio(objective, reached, update.change)
            self._damping.adapt(rho)

        self.parameters, self.previous_update = new_parameters, update.delta
        return StepRecord(
            objective=objective,
            error=first.error,
            alpha=update.coefficients[0],
            mu=update.coefficients[1] if len(update.coefficients) > 1 else None,
            rho=rho,
            damping=self.damping,
            gamma=self.gamma,
            model_change=update.change,
            noise_scale=None if first.variance is None else noise_scale(first.variance, gradient),
        )

    def _reduction_ratio(self, before: float, after: float, predicted: float) -> float | None:
        return reduction_ratio(after - before, predicted, self._safeguard.rounding_error(before))

    def _revert(self, objective: float, error: float, reason: str) -> StepRecord:
        """Reject this step and undo the last one, if it was taken."""
        reverted = self.previous_update is not None
        self.parameters = self._safeguard.parameters
        record = self._reject(objective, error, reason)
        return replace(record, outcome="reverted") if reverted else record

    def _reject(self, objective: float, error: float, reason: str) -> StepRecord:
        """Make no step, discard momentum and inverse, and increase λ and γ."""
        self._damping.increase()
        self.previous_update = self.curvature.inverse = None
        message = "iteration %d is rejected at objective %.4g: %s; lambda is raised to %.4g"
        logger.warning(message, self.iteration, objective, reason, self.damping)
        return StepRecord(
            objective, error, damping=self.damping, gamma=self.gamma, outcome="rejected"
        )

    def _statistics_request(self, cases: int) -> StatisticsRequest:
        options = self.options
        return StatisticsRequest(
            cases=subsample_size(options.tau1, cases),
            neighbours=options.inverse == "block_tridiagonal",
            seeds=draw_seeds(self.generator, options.samples),
            fisher=options.fisher,
        )

    def _best_update(self, batch: MiniBatch, first: FirstOrder, gradient: Parameters) -> Update:
        """The update δ with the lowest M(δ) over the candidates for γ."""
        candidates = self.curvature.candidates(self.iteration, self.gamma)
        proposals = [
            (gamma, inverse, self._proposal(inverse, first, gradient))
            for gamma, inverse in candidates
        ]
        previous = self.previous_update if self.options.momentum else None
        return best_update(batch, gradient, proposals, previous, self.damping, self.options)

    def _increase_damping_until_accepted(
        self,
        update: Update,
        batch: MiniBatch,
        first: FirstOrder,
        gradient: Parameters,
        objective: float,
    ) -> Update:
        """Increase λ tenfold until the update decreases h by a quarter of what M predicts.

        The calibration evaluates its trials on part of the mini-batch, which may be too few cases.
        Without re-scaling it is enough that h does not increase.
        """
        for _ in range(MAX_INCREASES):
            candidate = [p + d for p, d in zip(self.parameters, update.delta, strict=True)]
            reached = batch.objective(candidate, self.options.l2)
            rho = self._reduction_ratio(objective, reached, update.change)
            if rho is None or rho >= 0.25 or (reached <= objective and not self.options.rescaling):
                break
            self._damping.start(self.damping * INCREASE_FACTOR)
            update = self._best_update(batch, first, gradient)
        return update

    def _proposal(self, inverse: Inverse, first: FirstOrder, gradient: Parameters) -> Parameters:
        """Δ = -F₀⁻¹∇h, by section 8's shortcut if the mini-batch has few cases."""
        factors = first.case_factors
        if isinstance(inverse, BlockDiagonalInverse) and factors is not None:
            product = inverse.multiply_low_rank(
                gradient, factors.gradients, factors.homogeneous, self.options.l2
            )
        else:
            product = inverse.multiply(gradient)
        return [layer.neg_() for layer in product]

    @property
    def _calibrating(self) -> bool:
        return self.options.lambda_initial == "auto" and self.iteration <= CALIBRATED_ITERATIONS

    def _calibrate(self, inputs: Tensor, targets: Tensor) -> None:
        """Set λ to the smallest value found so far, and γ accordingly."""
        seeds = draw_seeds(self.generator, self.options.samples)
        fallbacks = self.curvature.fallbacks
        found = calibrated_lambda(
            self.network, self.parameters, inputs, targets, self.options, seeds, fallbacks
        )
        if self.iteration == 1 or found < self.damping:
            self._damping.start(found)

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to resume exactly, in plain containers."""
        return {
            "iteration": self.iteration,
            "parameters": list(self.parameters),
            "safeguard": self._safeguard.state_dict(),
            "damping": self._damping.state_dict(),
            "curvature": self.curvature.state_dict(),
            "previous_update": self.previous_update,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned."""
        self.iteration = state["iteration"]
        self.parameters = list(state["parameters"])
        self._safeguard.load_state_dict(state["safeguard"])
        self._damping.load_state_dict(state["damping"])
        self.curvature.load_state_dict(state["curvature"])
        self.previous_update = state["previous_update"]
        self.generator.set_state(state["generator"])
