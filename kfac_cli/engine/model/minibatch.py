"""Computations on a mini-batch in chunks: every sum over cases in the engine is formed here.

A chunk is moved to the parameters' device and reduced to sums, so the chunk size bounds the memory.
In data-parallel training, this is the one place where processes would add up their sums.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kfac_cli.engine.curvature.factors import KroneckerFactors, sum_over_cases
from kfac_cli.engine.model.gradient_noise import sum_of_squared_norms, total_variance
from kfac_cli.engine.model.network import Activations, Network
from kfac_cli.engine.model.sampling import noise_for_cases
from kfac_cli.engine.parameters import Parameters, l2_penalty

CACHED_CHUNKS = 4
"""Number of chunks whose activations are cached by the gradient pass for products J·v."""


@dataclass(frozen=True)
class Evaluation:
    """Means over cases: `loss` in nats (without ℓ₂) and the reported `error`."""

    loss: float
    error: float


@dataclass(frozen=True)
class FirstOrder:
    """Means over the cases of a mini-batch: loss, error, gradient of the loss, statistics.

    `variance`, if requested, is the trace of the covariance of the gradients of single cases, and
    `case_factors` are the factors of these gradients.
    """

    loss: float
    error: float
    gradient: Parameters
    statistics: KroneckerFactors | None
    variance: float | None = None
    case_factors: "CaseFactors | None" = None


@dataclass(frozen=True)
class CaseFactors:
    """g_1 … g_ℓ, (m, d_i), and ā_0 … ā_{ℓ-1}, (m, d_i + 1), of every case (section 8)."""

    gradients: list[Tensor]
    homogeneous: list[Tensor]


@dataclass(frozen=True)
class StatisticsRequest:
    """Which statistics to compute, from the first `cases` of a mini-batch.

    `neighbours` adds the blocks that the block-tridiagonal inverse needs. `fisher`: `sampled` uses
    targets from the model (section 5), one per case for each of `seeds`; `exact` the expectation
    over the model's targets, by d_ℓ backward passes; `empirical` the training targets.
    """

    cases: int
    neighbours: bool
    seeds: tuple[int, ...]
    fisher: str = "sampled"


class MiniBatch:
    """A mini-batch of m cases at fixed parameters.

    `inputs` (m, d_0) and `targets` (m, d_ℓ) may be on any device; chunks are moved to that of the
    parameters. Raises ValueError for no cases, different lengths, or a chunk size below 1.
    """

    def __init__(
        self,
        network: Network,
        parameters: Parameters,
        inputs: Tensor,
        targets: Tensor,
        chunk_size: int,
    ) -> None:
        if chunk_size < 1:
            raise ValueError(f"chunk_size={chunk_size}: must be 1 or more")
        if inputs.shape[0] == 0 or inputs.shape[0] != targets.shape[0]:
            raise ValueError(
                f"a mini-batch needs as many targets as inputs, and at least one: "
                f"{inputs.shape[0]} inputs, {targets.shape[0]} targets"
            )
        self.cases = inputs.shape[0]
        self._network = network
        self._parameters = parameters
        self._inputs = inputs
        self._targets = targets
        self._chunk_size = chunk_size
        self._cached: dict[int, Activations] = {}

    def first_order(
        self,
        request: StatisticsRequest | None = None,
        *,
        variance: bool = False,
        case_factors: bool = False,
    ) -> FirstOrder:
        """Loss, error and gradient over all cases, and the requested statistics, in one pass.

        `variance` requests the variance of the cases' gradients; it raises ValueError for a single
        case. `case_factors` requests the factors of the cases if they fit in one chunk.
        """
        loss = error = squared_norms = 0.0
        gradient: Parameters = []
        statistics: KroneckerFactors | None = None
        factors: CaseFactors | None = None
        distribution = self._network.distribution
        for first, inputs, targets in self._chunks(self.cases):
            activations = self._network.forward(self._parameters, inputs)
            if first < CACHED_CHUNKS * self._chunk_size:
                self._cached[first] = activations
            logits = activations.logits
            loss += float(distribution.loss(logits, targets).sum())
            error += float(distribution.error(logits, targets).sum())
            backward = self._network.backward(
                self._parameters, activations, distribution.gradient(logits, targets)
            )
            chunk_gradient = self._network.parameter_gradient(activations, backward)
            gradient = _plus(gradient, chunk_gradient)
            if variance:
                squared_norms += sum_of_squared_norms(activations, backward)
            if case_factors and self.cases <= self._chunk_size:
                factors = CaseFactors(backward, activations.homogeneous)
            del backward  # as large as the activations, and not needed by the statistics
            if request is not None and first < request.cases:
                subsample = activations.first(request.cases - first)
                chunk_statistics = self._statistics(subsample, targets, first, request)
                if statistics is None:
                    statistics = chunk_statistics
                else:
                    statistics.add_(chunk_statistics)
        if request is not None and statistics is not None:
            statistics.scale_(1 / request.cases)
        gradient = [g.div_(self.cases) for g in gradient]
        total = total_variance(squared_norms, gradient, self.cases) if variance else None
        return FirstOrder(
            loss / self.cases, error / self.cases, gradient, statistics, total, factors
        )

    def fisher_gram(self, directions: Sequence[Parameters], cases: int) -> Tensor:
        """uᵀFv for all pairs of D directions, (D, D) float64 on the CPU (appendix C).

        F is the exact Fisher, estimated on the first `cases` cases: the mean of (Ju)ᵀF_R(Jv).
        """
        gram = torch.zeros(len(directions), len(directions), dtype=torch.float64)
        for first, inputs, _ in self._chunks(cases):
            activations = self._activations(first, inputs)
            tangents = self._network.jacobian_product(self._parameters, activations, directions)
            roots = self._network.distribution.fisher_root(activations.logits, tangents)
            flat = roots.reshape(len(directions), -1)
            gram += (flat @ flat.T).to("cpu", torch.float64)
        return gram / cases

    def fisher_product(self, direction: Parameters, cases: int) -> Parameters:
        """F v = E[Jᵀ F_R J v], shaped like the parameters, on the first `cases` cases (app. C)."""
        distribution = self._network.distribution
        total: Parameters = []
        for first, inputs, _ in self._chunks(cases):
            activations = self._activations(first, inputs)
            [tangent] = self._network.jacobian_product(self._parameters, activations, [direction])
            root = distribution.fisher_root(activations.logits, tangent)
            output_gradient = distribution.fisher_root_transpose(activations.logits, root)
            total = _plus(total, self._gradient(activations, output_gradient))
        return [product.div_(cases) for product in total]

    def evaluate(self, parameters: Parameters) -> Evaluation:
        """Loss and error at other parameters on these cases."""
        loss = error = 0.0
        distribution = self._network.distribution
        for _, inputs, targets in self._chunks(self.cases):
            logits = self._network.forward(parameters, inputs).logits
            loss += float(distribution.loss(logits, targets).sum())
            error += float(distribution.error(logits, targets).sum())
        return Evaluation(loss / self.cases, error / self.cases)

    def objective(self, parameters: Parameters, l2: float) -> float:
        """h, the mean loss plus (η/2)‖θ‖², at other parameters on these cases."""
        return self.evaluate(parameters).loss + l2_penalty(parameters, l2)

    def _chunks(self, cases: int) -> Iterator[tuple[int, Tensor, Tensor]]:
        """(index of the first case, inputs, targets) of each chunk of the first `cases` cases."""
        like = self._parameters[0]
        for first in range(0, cases, self._chunk_size):
            rows = slice(first, min(first + self._chunk_size, cases))
            inputs = self._inputs[rows].to(like.device, like.dtype)
            if self._targets is self._inputs:
                yield first, inputs, inputs
            else:
                yield first, inputs, self._targets[rows].to(like.device, like.dtype)

    def _activations(self, first: int, inputs: Tensor) -> Activations:
        """A chunk's forward pass, from the cache if the gradient pass left it there."""
        cached = self._cached.get(first)
        if cached is None:
            return self._network.forward(self._parameters, inputs)
        return cached.first(inputs.shape[0])

    def _gradient(self, activations: Activations, output_gradient: Tensor) -> Parameters:
        backward = self._network.backward(self._parameters, activations, output_gradient)
        return self._network.parameter_gradient(activations, backward)

    def _statistics(
        self, activations: Activations, targets: Tensor, first: int, request: StatisticsRequest
    ) -> KroneckerFactors:
        """Sums over a chunk's cases, by backward passes from the requested targets (section 5)."""
        passes = self._output_gradients(activations.logits, targets, first, request)
        backward = self._network.backward(self._parameters, activations, next(passes))
        sums = sum_over_cases(activations.homogeneous, backward, request.neighbours)
        for output_gradient in passes:
            backward = self._network.backward(self._parameters, activations, output_gradient)
            sums.add_gradients_(backward)
        if request.fisher == "sampled":
            sums.scale_gradients_(1 / len(request.seeds))
        return sums

    def _output_gradients(
        self, logits: Tensor, targets: Tensor, first: int, request: StatisticsRequest
    ) -> Iterator[Tensor]:
        """The g_ℓ (m, d_ℓ) from which the statistics' backward passes start."""
        distribution = self._network.distribution
        cases, width = logits.shape
        if request.fisher == "empirical":
            yield distribution.gradient(logits, targets[:cases])
        elif request.fisher == "exact":
            # F_R = BᵀB is the sum over outputs j of (Bᵀe_j)(Bᵀe_j)ᵀ.
            for output in range(width):
                unit = torch.zeros_like(logits)
                unit[:, output] = 1
                yield distribution.fisher_root_transpose(logits, unit)
        else:
            for seed in request.seeds:
                noise = noise_for_cases(distribution, first, first + cases, width, seed, logits)
                yield distribution.gradient(logits, distribution.sample(logits, noise))


def evaluate(
    network: Network, parameters: Parameters, inputs: Tensor, targets: Tensor, chunk_size: int
) -> Evaluation:
    """Mean loss and mean error over a data set, in chunks."""
    return MiniBatch(network, parameters, inputs, targets, chunk_size).evaluate(parameters)


def _plus(total: Parameters, part: Parameters) -> Parameters:
    if not total:
        return part
    return [mine.add_(other) for mine, other in zip(total, part, strict=True)]
