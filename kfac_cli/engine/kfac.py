"""K-FAC: algorithm 2 of Martens and Grosse (2015)."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kfac_cli.engine.block_diagonal import BlockDiagonalInverse
from kfac_cli.engine.block_tridiagonal import BlockTridiagonalInverse
from kfac_cli.engine.damping import gamma_candidates, levenberg_marquardt
from kfac_cli.engine.factors import KroneckerFactors, running_average_weight
from kfac_cli.engine.minibatch import MiniBatch, StatisticsRequest
from kfac_cli.engine.network import Network, Parameters
from kfac_cli.engine.options import KFACOptions
from kfac_cli.engine.quadratic_model import (
    Minimum,
    QuadraticModel,
    combination,
    inner_products,
)
from kfac_cli.engine.record import StepRecord
from kfac_cli.engine.regularization import add_l2_gradient, l2_penalty
from kfac_cli.engine.sampling import draw_seed

Inverse = BlockDiagonalInverse | BlockTridiagonalInverse

INVERSES: dict[str, type[Inverse]] = {
    "block_diagonal": BlockDiagonalInverse,
    "block_tridiagonal": BlockTridiagonalInverse,
}


@dataclass(frozen=True)
class _Candidate:
    """A γ with its inverse and the best update that they give: δ = α Δ + μ δ₀."""

    gamma: float
    inverse: Inverse
    directions: list[Parameters]
    minimum: Minimum


class KFAC:
    """The optimizer: `options` and a state that `step` advances.

    `parameters` is θ, replaced by new tensors at each step; its dtype and device are those of the
    work. `generator` draws the sampled targets.
    """

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
        self.damping = options.lambda_initial
        self.gamma = options.start_gamma
        self.factors: KroneckerFactors | None = None
        self.inverse: Inverse | None = None
        self.previous_update: Parameters | None = None

    def step(self, inputs: Tensor, targets: Tensor) -> StepRecord:
        """One iteration of algorithm 2 on a mini-batch in random order.

        `inputs` (m, d_0), `targets` (m, d_ℓ). The shares τ₁ and τ₂ are its first cases.
        """
        options = self.options
        self.iteration += 1
        batch = MiniBatch(self.network, self.parameters, inputs, targets, options.chunk_size)

        first = batch.first_order(self._statistics_request(batch.cases))
        objective = first.loss + l2_penalty(self.parameters, options.l2)
        gradient = add_l2_gradient(first.gradient, self.parameters, options.l2)
        assert first.statistics is not None
        self._update_factors(first.statistics)

        chosen = self._best_candidate(batch, gradient)
        self.gamma, self.inverse = chosen.gamma, chosen.inverse
        update = combination(chosen.minimum.coefficients, chosen.directions)
        new_parameters = [p + d for p, d in zip(self.parameters, update, strict=True)]

        rho = None
        if self.iteration % options.t1 == 0:
            loss = batch.evaluate(new_parameters).loss
            new_objective = loss + l2_penalty(new_parameters, options.l2)
            rho = _reduction_ratio(new_objective - objective, chosen.minimum.change)
            self.damping = levenberg_marquardt(self.damping, rho, options.lambda_factor)

        self.parameters, self.previous_update = new_parameters, update
        coefficients = chosen.minimum.coefficients
        return StepRecord(
            objective=objective,
            error=first.error,
            alpha=coefficients[0],
            mu=coefficients[1] if len(coefficients) > 1 else None,
            rho=rho,
            damping=self.damping,
            gamma=self.gamma,
            model_change=chosen.minimum.change,
        )

    def _statistics_request(self, cases: int) -> StatisticsRequest:
        neighbours = self.options.inverse == "block_tridiagonal"
        share = _share(self.options.tau1, cases)
        return StatisticsRequest(share, neighbours, draw_seed(self.generator))

    def _update_factors(self, statistics: KroneckerFactors) -> None:
        if self.factors is None:
            self.factors = statistics
            return
        epsilon = running_average_weight(self.iteration, self.options.epsilon_max)
        self.factors.average_(statistics, epsilon)

    def _inverses(self) -> list[tuple[float, Inverse]]:
        """The candidates for γ at this iteration, each with its approximate inverse Fisher."""
        options = self.options
        gammas = [self.gamma]
        if self.iteration % options.t2 == 0:
            gammas = gamma_candidates(
                self.gamma, options.gamma_factor, options.gamma_floor, options.gamma_cap
            )
        elif self.inverse is not None and self.iteration > 3 and self.iteration % options.t3 != 0:
            return [(self.gamma, self.inverse)]
        assert self.factors is not None
        make = INVERSES[options.inverse]
        return [(gamma, make(self.factors, gamma)) for gamma in gammas]

    def _best_candidate(self, batch: MiniBatch, gradient: Parameters) -> _Candidate:
        """The update with the lowest M(δ) over the candidates for γ (sections 6.4, 6.6, 7)."""
        candidates = self._inverses()
        directions = [
            [layer.neg_() for layer in inverse.multiply(gradient)] for _, inverse in candidates
        ]
        momentum = self.options.momentum and self.previous_update is not None
        if momentum:
            assert self.previous_update is not None
            directions.append(self.previous_update)
        model = self._quadratic_model(batch, gradient, directions)
        damping = self.damping + self.options.l2
        solved = []
        for index, (gamma, inverse) in enumerate(candidates):
            span = [index, len(directions) - 1] if momentum else [index]
            minimum = model.minimum(span, damping)
            solved.append(_Candidate(gamma, inverse, [directions[i] for i in span], minimum))
        return min(solved, key=_model_change)

    def _quadratic_model(
        self, batch: MiniBatch, gradient: Parameters, directions: list[Parameters]
    ) -> QuadraticModel:
        fisher = batch.fisher_gram(directions, _share(self.options.tau2, batch.cases))
        inner = inner_products([*directions, gradient])
        return QuadraticModel(fisher, inner[:-1, :-1], inner[-1, :-1])

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on exactly, as tensors, numbers and containers."""
        return {
            "iteration": self.iteration,
            "parameters": list(self.parameters),
            "damping": self.damping,
            "gamma": self.gamma,
            "factors": None
            if self.factors is None
            else {
                name: [matrix.clone() for matrix in matrices]
                for name, matrices in vars(self.factors).items()
            },
            "inverse": None if self.inverse is None else self.inverse.state_dict(),
            "previous_update": self.previous_update,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.iteration = state["iteration"]
        self.parameters = list(state["parameters"])
        self.damping = state["damping"]
        self.gamma = state["gamma"]
        factors, inverse = state["factors"], state["inverse"]
        self.factors = None
        if factors is not None:
            copies = {name: [m.clone() for m in matrices] for name, matrices in factors.items()}
            self.factors = KroneckerFactors(**copies)
        make = INVERSES[self.options.inverse]
        self.inverse = None if inverse is None else make.from_state_dict(inverse)
        self.previous_update = state["previous_update"]
        self.generator.set_state(state["generator"])


def _share(tau: float, cases: int) -> int:
    """How many cases the share τ of a mini-batch is; at least one."""
    return max(1, round(tau * cases))


def _reduction_ratio(change: float, model_change: float) -> float:
    """ρ = (h(θ+δ) - h(θ)) / (M(δ) - M(0)), NaN where the model predicts no change."""
    return change / model_change if model_change != 0 else math.nan


def _model_change(candidate: _Candidate) -> float:
    change = candidate.minimum.change
    return change if math.isfinite(change) else math.inf
