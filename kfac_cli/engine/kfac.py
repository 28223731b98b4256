"""K-FAC: algorithm 2 of Martens and Grosse (2015)."""

import logging
import math
from collections.abc import Callable
from copy import copy
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from kfac_cli.engine.acceptance import Acceptance
from kfac_cli.engine.calibration import MANY_CASES, calibrated_lambda
from kfac_cli.engine.chunks import chunk_size_for
from kfac_cli.engine.curvature.registry import make_curvature
from kfac_cli.engine.damping import INCREASE_FACTOR, Damping
from kfac_cli.engine.direction import Direction, Update, subsample_size
from kfac_cli.engine.linearization import Linearization, statistics_request
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.engine.model.network import Network
from kfac_cli.engine.model.sampling import draw_seeds
from kfac_cli.engine.optimizer import undone_on_error
from kfac_cli.engine.options.curvature import FIRST_ITERATIONS
from kfac_cli.engine.options.kfac import KFACOptions
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.record import StepRecord
from kfac_cli.engine.state_rules import Rule, count, generator, like, record

logger = logging.getLogger(__name__)

MAX_INCREASES = 30
"""Maximum number of increases of λ in one of these iterations."""


class KFAC:
    """The K-FAC optimizer: each `step` is one iteration, on a mini-batch in random order.

    `parameters` is θ, replaced by new tensors at each step; all computations use its dtype and
    device. `generator` is for the sampled targets. The parts of a step: `curvature` estimates F₀,
    `direction` proposes δ, `acceptance` decides whether it stays; the damping λ and γ follow.
    `report`, if it is set, is told what part of a long step is running, and "" at its end.
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
        self.report: Callable[[str], None] | None = None
        self.chunk_size = chunk_size_for(options.chunk_size, network.layer_sizes, parameters[0])
        self.curvature = make_curvature(options)
        self.direction = Direction(options, self.curvature, network.processes)
        self.acceptance = Acceptance(options, parameters)
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

    def replace_parameters(self, parameters: Parameters) -> None:
        """Continue from other parameters of the same shapes, which no step reverts.

        Curvature, momentum and damping stay: they suit a small change, such as a projection.
        """
        self.parameters = parameters
        self.acceptance.restart(parameters)

    @undone_on_error
    def step(self, inputs: Tensor, targets: Tensor, *, measure_noise: bool = False) -> StepRecord:
        """Run one iteration of algorithm 2 on a mini-batch, whose cases must be in random order.

        `inputs` (m, d_0), `targets` (m, d_ℓ). The random subsets S₁ and S₂ are the fraction τ₁ at
        their beginning and τ₂ at their end: disjoint and independent while τ₁ + τ₂ ≤ 1. A step
        that is not finite is rejected. If the last step increased h too much, it is reverted and
        this one rejected. `measure_noise` asks for the record's `noise_scale`, which needs two or
        more cases. Raises ValueError for tensors of other shapes.
        """
        options = self.options
        batch = MiniBatch(self.network, self.parameters, inputs, targets, self.chunk_size)
        self.iteration += 1
        damping = copy(self._damping)
        calibrates = self._calibrates(batch)
        if calibrates:
            self._calibrate(batch)

        here = self.linearize(batch, measure_noise)
        if reason := self.acceptance.judge_last_step(here):
            self._damping.keep_at_least(damping)  # calibration tried steps from the wrong place
            return self._revert(here, reason)
        self.curvature.update(here.first.statistics, self.iteration)

        adjusts = self.iteration % options.t1 == 0
        measures = adjusts and options.lambda_rule == "levenberg_marquardt"
        update = self._best_update(here, needs_change=calibrates or measures)
        if calibrates:
            update = self._increase_damping_until_allowed(here, update)
        if options.gamma_rule == "search":
            self._damping.gamma = update.gamma

        verdict = self.acceptance.judge_update(here, update, measure=measures)
        if verdict.reason is not None:
            return self._reject(here, verdict.reason)
        if adjusts:
            self._damping.adapt(verdict.rho, unresolved=verdict.unresolved)
        self.parameters = verdict.parameters
        self.direction.follow(update)
        return self._record(here, update, verdict.rho)

    def linearize(self, batch: MiniBatch, variance: bool = False) -> Linearization:
        """Compute h and ∇h on a mini-batch, with what the curvature needs, as a step begins.

        `variance` requests the variance of the cases' gradients. Draws from the generator.
        """
        options, needs = self.options, self.curvature.needs
        cases = subsample_size(options.tau1, batch.cases)
        request = statistics_request(needs, options, cases, self._draw_seeds())
        return Linearization.of(
            batch,
            options.l2,
            request,
            variance=variance,
            case_factors=needs.case_factors,
            kept_cases=subsample_size(options.tau2, batch.cases),
            kept_bytes=options.kept_bytes,
        )

    def _draw_seeds(self) -> tuple[int, ...]:
        """Seeds for the sampled targets; none, and none drawn, without statistics."""
        if not self.curvature.needs.statistics:
            return ()
        return draw_seeds(self.generator, self.options.samples)

    def _best_update(self, here: Linearization, *, needs_change: bool = True) -> Update:
        gammas = self._damping.candidates(self.iteration)
        return self.direction.best(
            here, self.iteration, gammas, self.damping, needs_change=needs_change
        )

    def _revert(self, here: Linearization, reason: str) -> StepRecord:
        """Reject this step and undo the last one, if it was taken."""
        reverted = self.acceptance.reverts and self.direction.previous_update is not None
        self.parameters = self.acceptance.parameters
        record = self._reject(here, reason)
        return replace(record, outcome="reverted") if reverted else record

    def _reject(self, here: Linearization, reason: str) -> StepRecord:
        """Make no step, discard momentum and inverse, and increase λ and γ."""
        self._damping.increase()
        self.direction.forget()
        message = "iteration %d is rejected at objective %.4g: %s; lambda is raised to %.4g"
        logger.warning(message, self.iteration, here.objective, reason, self.damping)
        return StepRecord(
            here.objective,
            here.error,
            damping=self.damping,
            gamma=self.gamma,
            outcome="rejected",
        )

    def _record(self, here: Linearization, update: Update, rho: float | None) -> StepRecord:
        return StepRecord(
            here.objective,
            here.error,
            alpha=update.alpha,
            mu=update.mu,
            rho=rho if rho is not None and math.isfinite(rho) else None,
            damping=self.damping,
            gamma=self.gamma,
            model_change=update.change,
            noise_scale=here.noise_scale,
        )

    def _calibrates(self, batch: MiniBatch) -> bool:
        """Whether this iteration calibrates λ: a first one, which makes a new inverse anyway."""
        few = batch.cases < MANY_CASES
        last = FIRST_ITERATIONS if few else self.options.first_iterations
        return self.options.lambda_initial == "auto" and self.iteration <= last

    def _calibrate(self, batch: MiniBatch) -> None:
        """Set λ to the smallest value found so far, and γ accordingly."""
        known = None if self.iteration == 1 else self.damping
        seeds = self._draw_seeds()
        self._damping.start(calibrated_lambda(batch, self.options, seeds, known, self.report))
        if self.report is not None:
            self.report("")

    def _increase_damping_until_allowed(self, here: Linearization, update: Update) -> Update:
        """Increase λ tenfold until the update decreases h enough.

        The calibration evaluates its trials on part of the mini-batch, which may be too few cases.
        """
        for _ in range(MAX_INCREASES):
            if self.acceptance.allows_damping(here, update):
                break
            self._damping.start(self.damping * INCREASE_FACTOR)
            update = self._best_update(here)
        return update

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to resume exactly, in plain containers."""
        return {
            "iteration": self.iteration,
            "parameters": list(self.parameters),
            "acceptance": self.acceptance.state_dict(),
            "damping": self._damping.state_dict(),
            "curvature": self.curvature.state_dict(),
            "direction": self.direction.state_dict(),
            "generator": self.generator.get_state(),
        }

    def state_rules(self) -> Rule:
        """What `state_dict` may return with these options and parameters of these shapes."""
        return record(
            {
                "iteration": count(),
                "parameters": like(self.parameters),
                "acceptance": self.acceptance.state_rules(),
                "damping": self._damping.state_rules(),
                "curvature": self.curvature.state_rules(self.parameters),
                "direction": self.direction.state_rules(self.parameters),
                "generator": generator,
            }
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned."""
        self.iteration = state["iteration"]
        self.parameters = list(state["parameters"])
        self.acceptance.load_state_dict(state["acceptance"])
        self._damping.load_state_dict(state["damping"])
        self.curvature.load_state_dict(state["curvature"])
        self.direction.load_state_dict(state["direction"])
        self.generator.set_state(state["generator"])
