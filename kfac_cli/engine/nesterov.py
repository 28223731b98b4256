"""The baseline: SGD with Nesterov's accelerated gradient (Sutskever et al. 2013)."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from kfac_cli.engine.chunks import chunk_size_for
from kfac_cli.engine.linearization import Linearization
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.engine.model.network import Network
from kfac_cli.engine.optimizer import undone_on_error
from kfac_cli.engine.options.baselines import NesterovOptions
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.record import StepRecord
from kfac_cli.engine.state_rules import Rule, count, like, record


class NesterovSGD:
    """SGD with Nesterov momentum: v ← μ v - ε ∇h(θ + μ v), θ ← θ + v.

    `parameters` is θ. The step's record gives objective and error at θ + μ v, where the gradient
    is computed. `generator` is unused.
    """

    adapts = False

    def __init__(
        self,
        network: Network,
        parameters: Parameters,
        options: NesterovOptions,
        generator: torch.Generator | None = None,
        planned: int | None = None,
    ) -> None:
        self.network = network
        self.parameters = parameters
        self.options = options
        self.planned = planned
        self.iteration = 0
        self.chunk_size = chunk_size_for(options.chunk_size, network.layer_sizes, parameters[0])
        self.velocity: Parameters = [torch.zeros_like(p) for p in parameters]
        self._before = parameters  # the previous step

    @undone_on_error
    def step(self, inputs: Tensor, targets: Tensor, *, measure_noise: bool = False) -> StepRecord:
        """Make one update from `inputs` (m, d_0) and `targets` (m, d_ℓ).

        If the objective is not finite, the previous step is reverted instead. Raises ValueError for
        tensors of other shapes. `measure_noise` asks for the record's `noise_scale`, which needs
        two or more cases.
        """
        options = self.options
        mu = options.momentum_at(self.iteration, self.planned)
        ahead = [
            torch.add(p, v, alpha=mu) for p, v in zip(self.parameters, self.velocity, strict=True)
        ]
        batch = MiniBatch(self.network, ahead, inputs, targets, self.chunk_size)
        here = Linearization.of(batch, options.l2, variance=measure_noise)
        self.iteration += 1
        record = StepRecord(here.objective, here.error, mu=mu, noise_scale=here.noise_scale)
        if not math.isfinite(here.objective):
            self.parameters = self._before
            return replace(record, outcome="reverted")
        self._before = self.parameters
        self.velocity = [
            (v * mu).add_(g, alpha=-options.learning_rate)
            for v, g in zip(self.velocity, here.gradient, strict=True)
        ]
        self.parameters = [p + v for p, v in zip(self.parameters, self.velocity, strict=True)]
        return record

    @property
    def fallbacks(self) -> dict[str, int]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to resume exactly, in plain containers."""
        return {
            "iteration": self.iteration,
            "parameters": list(self.parameters),
            "before": list(self._before),
            "velocity": list(self.velocity),
        }

    def state_rules(self) -> Rule:
        """What `state_dict` may return with parameters of these shapes."""
        vector = like(self.parameters)
        return record(
            {"iteration": count(), "parameters": vector, "before": vector, "velocity": vector}
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned."""
        self.iteration = state["iteration"]
        self.parameters = list(state["parameters"])
        self._before = list(state["before"])
        self.velocity = list(state["velocity"])
