"""Loss, error, gradient and statistics of a mini-batch, summed over its chunks in one pass."""

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from kfac_cli.engine.curvature.factors import CaseFactors, KroneckerFactors
from kfac_cli.engine.model.gradient_noise import sum_of_squared_norms, total_variance
from kfac_cli.engine.model.network import Activations, Network
from kfac_cli.engine.model.statistics import StatisticsRequest, sum_of_statistics
from kfac_cli.engine.parameters import Parameters, accumulated, float64_zeros


@dataclass(frozen=True)
class FirstOrder:
    """Means over the cases of a mini-batch: loss, error, gradient of the loss, statistics.

    All of it stays on the device; the numbers are 0-dim float64 tensors.
    `activations` are those of this process's last chunks, for products J·v, as far as they were to
    be kept. `variance`, if requested, is the trace of the covariance of the gradients of single
    cases, and `case_factors` are the factors of these gradients.
    """

    loss: Tensor
    error: Tensor
    gradient: Parameters
    activations: tuple[Activations, ...]
    statistics: KroneckerFactors | None = None
    variance: Tensor | None = None
    case_factors: CaseFactors | None = None


class FirstOrderSums:
    """The sums over the chunks that a process adds, and the means over all `cases`.

    `request`, `variance`, `kept_cases` and `kept_bytes` are those of `MiniBatch.first_order`;
    `case_factors` are kept of the last chunk, so there must be one only.
    """

    def __init__(
        self,
        network: Network,
        parameters: Parameters,
        cases: int,
        request: StatisticsRequest | None,
        *,
        variance: bool,
        case_factors: bool,
        kept_cases: int,
        kept_bytes: int,
    ) -> None:
        self._network, self._parameters, self._cases = network, parameters, cases
        self._request, self._variance, self._case_factors = request, variance, case_factors
        self._kept_from, self._kept_bytes = cases - kept_cases, kept_bytes
        self._loss, self._error = float64_zeros(parameters), float64_zeros(parameters)
        self._squared_norms = float64_zeros(parameters)
        self._gradient: Parameters = []
        self._statistics: KroneckerFactors | None = None
        self._factors: CaseFactors | None = None
        self._kept: deque[Activations] = deque()

    def add(self, first: int, inputs: Tensor, targets: Tensor) -> None:
        """Add a chunk, whose first case has the index `first` in the mini-batch."""
        network, distribution = self._network, self._network.distribution
        activations = network.forward(self._parameters, inputs)
        self._keep(first, activations)
        logits = activations.logits
        self._loss += distribution.loss(logits, targets).sum()
        self._error += distribution.error(logits, targets).sum()
        backward = network.backward(
            self._parameters, activations, distribution.gradient(logits, targets)
        )
        chunk_gradient = network.parameter_gradient(activations, backward)
        self._gradient = accumulated(self._gradient, chunk_gradient)
        if self._variance:
            self._squared_norms += sum_of_squared_norms(activations, backward)
        if self._case_factors:
            self._factors = CaseFactors(backward, activations.homogeneous)
        del backward  # as large as the activations, and not needed by the statistics
        if self._request is not None and first < self._request.cases:
            self._add_statistics(self._request, first, activations, targets)

    def _keep(self, first: int, activations: Activations) -> None:
        """Keep the activations of the last cases, as many as there is memory for.

        Whole chunks, without a copy; of one that does not fit the cases that are asked for, if they
        do.
        """
        skipped = max(self._kept_from - first, 0)
        if skipped < activations.cases:
            wanted = activations.part(slice(skipped, None))
            if activations.bytes > self._kept_bytes >= wanted.bytes:
                activations = wanted.copied()
            self._kept.append(activations)
        while sum(each.bytes for each in self._kept) > self._kept_bytes:
            self._kept.popleft()

    def _add_statistics(
        self, request: StatisticsRequest, first: int, activations: Activations, targets: Tensor
    ) -> None:
        subsample = activations.part(slice(request.cases - first))
        sums = sum_of_statistics(
            self._network, self._parameters, subsample, targets, first, request
        )
        if self._statistics is None:
            self._statistics = sums
        else:
            self._statistics.add_(sums)

    def means(self) -> FirstOrder:
        """The means, of the sums of all processes. No chunk can be added afterwards."""
        numbers = [self._loss, self._error, *([self._squared_norms] if self._variance else [])]
        gradient, statistics = self._gradient, self._statistics
        tensors = () if statistics is None else statistics.tensors()
        self._network.processes.sum_([*numbers, *gradient, *tensors])
        if self._request is not None and statistics is not None:
            statistics.scale_(1 / self._request.cases)
        torch._foreach_div_(gradient, self._cases)
        variance = None
        if self._variance:
            variance = total_variance(self._squared_norms, gradient, self._cases)
        loss, error = self._loss / self._cases, self._error / self._cases
        kept = tuple(self._kept)
        return FirstOrder(loss, error, gradient, kept, statistics, variance, self._factors)
