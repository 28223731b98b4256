"""Computations on a mini-batch in chunks: here and in `first_order` all sums over cases are made.

A chunk is moved to the parameters' device and reduced to sums, so the chunk size bounds the memory.
Several processes each compute the chunks of their share of the cases, and add up their sums here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kfac_cli.engine.model.feeding import feed
from kfac_cli.engine.model.first_order import FirstOrder, FirstOrderSums
from kfac_cli.engine.model.network import Activations, Network
from kfac_cli.engine.model.shares import cut, own_cases
from kfac_cli.engine.model.statistics import StatisticsRequest
from kfac_cli.engine.parameters import Parameters, accumulated, float64_zeros, l2_penalty
from kfac_cli.engine.transfer import fetch_numbers

Chunk = tuple[int, Tensor, Tensor]


@dataclass(frozen=True)
class Evaluation:
    """Means over cases: `loss` in nats (without ℓ₂) and the reported `error`."""

    loss: float
    error: float


@dataclass(frozen=True, eq=False)
class MiniBatch:
    """A mini-batch of m cases, in random order, at fixed parameters.

    Its first cases serve as the random subset S₁ of algorithm 2, for the statistics, and its last
    ones as S₂, for products with F: disjoint unless they have more than m cases together. The
    processes of the network all have the same mini-batch, and compute an even share of S₁, of S₂
    and of the cases between them.

    `inputs` (m, d_0) and `targets` (m, d_ℓ) are real, of any dtype and on any device; chunks are
    converted to the dtype and moved to the device of the parameters. Raises ValueError for other
    shapes, no cases, different lengths, complex numbers, or a chunk size below 1.
    """

    network: Network
    parameters: Parameters
    inputs: Tensor
    targets: Tensor
    chunk_size: int

    def __post_init__(self) -> None:
        if self.chunk_size < 1:
            raise ValueError(f"chunk_size={self.chunk_size}: must be 1 or more")
        sizes = self.network.layer_sizes
        _check_matrix("inputs", self.inputs, sizes[0])
        _check_matrix("targets", self.targets, sizes[-1])
        if self.cases == 0 or self.cases != self.targets.shape[0]:
            raise ValueError(
                f"a mini-batch needs as many targets as inputs, and at least one: "
                f"{self.cases} inputs, {self.targets.shape[0]} targets"
            )

    @property
    def cases(self) -> int:
        """The number m of cases."""
        return self.inputs.shape[0]

    def part(self, rows: slice) -> "MiniBatch":
        """The mini-batch of some of the cases, at the same parameters."""
        inputs = self.inputs[rows]
        targets = inputs if self.targets is self.inputs else self.targets[rows]
        return replace(self, inputs=inputs, targets=targets)

    def first_order(
        self,
        request: StatisticsRequest | None = None,
        *,
        variance: bool = False,
        case_factors: bool = False,
        kept_cases: int = 0,
        kept_bytes: int = 0,
    ) -> FirstOrder:
        """Loss, error and gradient over all cases, and the requested statistics, in one pass.

        `variance` requests the variance of the cases' gradients; it raises ValueError for a single
        case. `case_factors` requests the factors of the cases if they fit in one chunk, of a
        single process. The activations of the last `kept_cases` are returned, of the chunks that
        fit into `kept_bytes`, or of a larger chunk if its part fits.
        """
        processes = self.network.processes
        alone = processes.count == 1
        sums = FirstOrderSums(
            self.network,
            self.parameters,
            self.cases,
            request,
            variance=variance,
            case_factors=case_factors and alone and self.cases <= self.chunk_size,
            kept_cases=kept_cases,
            kept_bytes=kept_bytes,
        )
        statistics, rest = 0 if request is None else request.cases, self.cases - kept_cases
        for chunk in self._chunks(own_cases(processes, self.cases, statistics, rest)):
            sums.add(*chunk)
        return sums.means()

    def fisher_gram(
        self,
        directions: Sequence[Parameters],
        cases: int,
        activations: Sequence[Activations] = (),
    ) -> Tensor:
        """uᵀFv for all pairs of D directions, (D, D) float64 (appendix C).

        F is the exact Fisher, estimated on the last `cases` cases: the mean of (Ju)ᵀF_R(Jv).
        `activations` are those that `first_order` returned for as many `kept_cases`, if there are
        any; the other chunks' are computed.
        """
        gram = float64_zeros(self.parameters, len(directions), len(directions))
        for chunk in self._forward(cases, activations):
            tangents = self.network.jacobian_product(self.parameters, chunk, directions)
            roots = self.network.distribution.fisher_root(chunk.logits, tangents)
            by_case = roots.transpose(0, 1)
            grams = by_case @ by_case.transpose(1, 2)
            gram += grams.sum(0, dtype=torch.float64)
        self.network.processes.sum_([gram])
        return gram / cases

    def fisher_product(
        self, direction: Parameters, cases: int, activations: Sequence[Activations] = ()
    ) -> Parameters:
        """F v = E[Jᵀ F_R J v], shaped like the parameters, on the last `cases` cases (app. C).

        `activations` as for `fisher_gram`.
        """
        distribution = self.network.distribution
        total: Parameters = []
        for chunk in self._forward(cases, activations):
            [tangent] = self.network.jacobian_product(self.parameters, chunk, [direction])
            root = distribution.fisher_root(chunk.logits, tangent)
            output_gradient = distribution.fisher_root_transpose(chunk.logits, root)
            total = accumulated(total, self._gradient(chunk, output_gradient))
        total = total or [torch.zeros_like(p) for p in self.parameters]  # a share without cases
        self.network.processes.sum_(total)
        torch._foreach_div_(total, cases)
        return total

    def evaluate(
        self, parameters: Parameters, report: Callable[[int], None] | None = None
    ) -> Evaluation:
        """Loss and error at other parameters; `report` is called with the cases done so far."""
        return Evaluation(*fetch_numbers(*self._mean_losses(parameters, report)))

    def objective(self, parameters: Parameters, l2: float) -> float:
        """h, the mean loss plus (η/2)‖θ‖², at other parameters on these cases."""
        loss, _ = self._mean_losses(parameters)
        [objective] = fetch_numbers(loss + l2_penalty(parameters, l2))
        return objective

    def _mean_losses(
        self, parameters: Parameters, report: Callable[[int], None] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mean loss and mean error at other parameters, on the device."""
        loss, error = float64_zeros(self.parameters), float64_zeros(self.parameters)
        distribution, processes = self.network.distribution, self.network.processes
        done = 0
        for _, inputs, targets in self._chunks():
            logits = self.network.forward(parameters, inputs).logits
            loss += distribution.loss(logits, targets).sum()
            error += distribution.error(logits, targets).sum()
            done += len(inputs)
            if report is not None:
                report(min(done * processes.count, self.cases))
        processes.sum_([loss, error])
        return loss / self.cases, error / self.cases

    def _chunks(self, parts: Sequence[slice] = ()) -> Iterator[Chunk]:
        """The chunks of some parts of the cases, at least one of each; by default of the own cases.

        Each is the index of its first case, inputs and targets.
        """
        processes = self.network.processes
        parts = parts or own_cases(processes, self.cases)
        chunks = [chunk for part in parts for chunk in cut(part, self.chunk_size, processes)]
        data = [self.inputs] if self.targets is self.inputs else [self.inputs, self.targets]
        for rows, matrices in zip(chunks, feed(data, chunks, self.parameters[0]), strict=True):
            yield rows.start, matrices[0], matrices[-1]

    def _forward(self, cases: int, known: Sequence[Activations]) -> Iterator[Activations]:
        """The forward passes of this process's share of the last `cases` cases.

        Those of its last chunks are known.
        """
        own = self.network.processes.share(slice(self.cases - cases, self.cases))
        first = own.stop - sum(each.cases for each in known)
        if own.start < first:
            for _, inputs, _ in self._chunks([slice(own.start, first)]):
                yield self.network.forward(self.parameters, inputs)
        for activations in known:
            if first + activations.cases > own.start:
                yield activations.part(slice(max(own.start - first, 0), None))
            first += activations.cases

    def _gradient(self, activations: Activations, output_gradient: Tensor) -> Parameters:
        backward = self.network.backward(self.parameters, activations, output_gradient)
        return self.network.parameter_gradient(activations, backward)


def evaluate(
    network: Network,
    parameters: Parameters,
    inputs: Tensor,
    targets: Tensor,
    chunk_size: int,
    report: Callable[[int], None] | None = None,
) -> Evaluation:
    """Mean loss and mean error over a data set, in chunks.

    `report` is called after each chunk, with the cases done so far.
    """
    return MiniBatch(network, parameters, inputs, targets, chunk_size).evaluate(parameters, report)


def _check_matrix(name: str, values: Tensor, width: int) -> None:
    if values.ndim != 2 or values.shape[1] != width:
        raise ValueError(f"{name} of shape {tuple(values.shape)}: expected (cases, {width})")
    if values.is_complex():
        raise ValueError(f"{name} of dtype {values.dtype}: expected real numbers")
