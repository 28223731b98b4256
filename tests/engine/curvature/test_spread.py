"""The parts of inverses, spread over processes: the same inverses whatever their number."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from threading import Barrier

import pytest
import torch

from engine import oracles
from engine.oracles import Architecture, problem
from kfac_cli.engine import KFACOptions, KroneckerFactors
from kfac_cli.engine.curvature.coupling import coupling_cost
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.registry import make_curvature
from kfac_cli.engine.curvature.spread import Share, longest_first
from kfac_cli.engine.parcel import Parcel
from kfac_cli.engine.processes import ALONE, Processes
from kfac_cli.errors import ProcessLostError

NETWORK = Architecture((7, 5, 3, 5, 7), ("tanh", "logistic", "tanh"), "bernoulli")
GAMMAS = (0.3, 0.03, 3.0)
CPU = torch.device("cpu")
EACH_KIND = pytest.mark.parametrize(
    "options",
    [
        {"inverse": "block_diagonal"},
        {"inverse": "block_diagonal", "tikhonov": "exact"},
        {"inverse": "block_diagonal", "l2_product": "refreshed", "l2": 0.01},
        {"inverse": "block_tridiagonal"},
        {"inverse": "block_tridiagonal", "sigma_solver": "doubling"},
    ],
    ids=["diagonal", "exact", "separate decay", "tridiagonal", "doubling"],
)


@dataclass(frozen=True)
class Threads(Processes):
    """Threads in the place of processes, which exchange what processes would send."""

    board: tuple = ()
    barrier: Barrier | None = None

    def exchange(self, own, device):
        parcel, tensors = Parcel.of(own)
        self.board[self.rank] = parcel, parcel.joined(tensors)
        self.barrier.wait(timeout=60)
        return [
            own if rank == self.rank else each.content(vectors)
            for rank, (each, vectors) in enumerate(self.board)
        ]


def together(count, work):
    """What `work` returns in each of so many processes."""
    board, barrier = [None] * count, Barrier(count)
    every = [Threads(rank, count, board, barrier) for rank in range(count)]
    with ThreadPoolExecutor(count) as pool:
        return [each.result() for each in [pool.submit(work, one) for one in every]]


def curvature_of(options, dtype=torch.float64, sign=1):
    made = make_curvature(KFACOptions(**{"tikhonov": "factored"} | options))
    factors = oracles.tridiagonal(oracles.statistics(*problem(NETWORK)), KroneckerFactors)
    for matrix in factors.gradient:
        matrix.mul_(sign)
    made.update(KroneckerFactors(*([m.to(dtype) for m in ms] for ms in vars(factors).values())), 1)
    return made


def tensors_of(inverse):
    return Parcel.of(inverse.state_dict())[1]


@EACH_KIND
@pytest.mark.parametrize("count", [2, 3, 60])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_processes_make_the_inverses_of_a_single_one_bit_for_bit(options, count, dtype):
    """Of 60, some make nothing."""
    alone = [tensors_of(each) for each in curvature_of(options, dtype).inverses(GAMMAS)]
    found = together(count, lambda one: curvature_of(options, dtype).inverses(GAMMAS, one))
    for inverses in found:
        for expected, inverse in zip(alone, inverses, strict=True):
            pairs = list(zip(expected, tensors_of(inverse), strict=True))
            assert all(torch.equal(a, b) for a, b in pairs)
            assert all(a.stride() == b.stride() for a, b in pairs)


@pytest.mark.parametrize("inverse", ["block_diagonal", "block_tridiagonal"])
def test_a_fallback_is_counted_once_and_in_all_processes(inverse):
    def counted(processes):
        curvature = curvature_of({"inverse": inverse}, sign=-1)
        curvature.inverses(GAMMAS, processes)
        return curvature.fallbacks

    alone = counted(ALONE)
    assert alone.clipped_factors > 0
    assert together(3, counted) == [alone] * 3


def test_an_error_of_one_process_ends_all():
    def make(gamma, numbers, fallbacks):
        if 2 in numbers:
            raise ArithmeticError("too small")
        return [torch.zeros(1)] * len(numbers)

    def attempt(processes):
        share = Share(make, [1.0], [3.0, 2.0, 1.0], processes, CPU)
        with pytest.raises((ArithmeticError, ProcessLostError)) as caught:
            share.exchanged(Fallbacks())
        return str(caught.value)

    assert together(2, attempt) == ["process 1: ArithmeticError: too small", "too small"]
    with pytest.raises(ArithmeticError):
        Share(make, [1.0], [1.0] * 3, ALONE, CPU)


def test_the_longest_task_goes_first_to_whoever_has_the_least_to_do():
    assert longest_first([2, 7, 4, 5], 2) == [0, 0, 1, 1]
    assert longest_first([1, 1, 1], 1) == [0, 0, 0]
    assert longest_first([5], 3) == [0]


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_parts_of_the_mnist_network_s_inverses_are_spread_evenly(count):
    columns, rows = [785, 1001, 501, 251, 31, 251, 501, 1001], [1000, 500, 250, 30, 250, 500, 1000]
    rows.append(784)
    pairs = zip(pairwise(columns), pairwise(rows), strict=True)
    couplings = [coupling_cost(*a) + coupling_cost(*g) for a, g in pairs]
    costs = [float(n**3) for n in (*columns, *rows)] + couplings
    for inverse in (costs[:16], costs):
        makers = longest_first(inverse, count)
        owned = zip(inverse, makers, strict=True)
        loads = torch.zeros(count, dtype=torch.float64)
        for cost, maker in owned:
            loads[maker] += cost
        # Graham's bound, where the best is at least the mean and the largest part.
        best = max(float(loads.mean()), max(inverse))
        assert float(loads.max()) <= (4 / 3 - 1 / (3 * count)) * best
