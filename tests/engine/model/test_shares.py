"""The shares of several processes add up to the whole mini-batch, whatever their number."""

from dataclasses import dataclass

import pytest
import torch

from kfac_cli.engine import Network, sparse_initialization
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.engine.model.sampling import BLOCK_CASES
from kfac_cli.engine.model.shares import own_cases
from kfac_cli.engine.model.statistics import StatisticsRequest
from kfac_cli.engine.processes import ALONE, Processes

CASES = 2 * BLOCK_CASES + 37


@dataclass(frozen=True)
class OneOfMany(Processes):
    """One of several processes that leaves its sums as they are, for the test to add up."""

    def sum_(self, tensors):
        pass


def batch_of(processes, cases):
    generator = torch.Generator().manual_seed(3)
    network = Network([6, 5, 4, 3], ["logistic", "tanh"], "bernoulli", processes=processes)
    parameters = [w.double() for w in sparse_initialization(network, generator)]
    inputs = torch.rand(cases, 6, generator=generator, dtype=torch.float64)
    targets = torch.rand(cases, 3, generator=generator, dtype=torch.float64)
    targets = targets / targets.sum(1, keepdim=True)
    return MiniBatch(network, parameters, inputs, targets, chunk_size=100)


def sums(processes, cases, statistics, last, kept_bytes, fisher="sampled"):
    batch = batch_of(processes, cases)
    request = StatisticsRequest(statistics, neighbours=True, seeds=(5, 6), fisher=fisher)
    first = batch.first_order(request, kept_cases=last, kept_bytes=kept_bytes)
    directions = [[2 * p for p in batch.parameters], [p.cos() for p in batch.parameters]]
    found = batch.evaluate(batch.parameters)
    return [
        first.loss,
        first.error,
        *first.gradient,
        *first.statistics.tensors(),
        batch.fisher_gram(directions, last, first.activations),
        *batch.fisher_product(directions[1], last, first.activations),
        torch.tensor([found.loss, found.error], dtype=torch.float64),
        torch.tensor(batch.objective(batch.parameters, 0.0), dtype=torch.float64),
    ]


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize(
    ("cases", "statistics", "last"),
    [
        (CASES, 200, 300),
        (CASES, CASES, CASES),
        (CASES, 200, CASES),
        (CASES, CASES - 10, 20),
        (1, 1, 1),
        (2, 1, 1),
    ],
    ids=["subsets", "everything", "all of S2", "overlapping", "one case", "two cases"],
)
@pytest.mark.parametrize("kept_bytes", [0, 10**4, 10**9])
def test_the_sums_of_the_shares_are_those_of_the_mini_batch(
    count, cases, statistics, last, kept_bytes
):
    whole = sums(ALONE, cases, statistics, last, kept_bytes)
    every = [
        sums(OneOfMany(rank, count), cases, statistics, last, kept_bytes) for rank in range(count)
    ]
    for one, parts in zip(whole, zip(*every, strict=True), strict=True):
        torch.testing.assert_close(sum(parts), one, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("fisher", ["exact", "empirical"])
def test_every_kind_of_statistics_is_shared(fisher):
    whole = sums(ALONE, CASES, 200, 300, 0, fisher)
    every = [sums(OneOfMany(rank, 3), CASES, 200, 300, 0, fisher) for rank in range(3)]
    for one, parts in zip(whole, zip(*every, strict=True), strict=True):
        torch.testing.assert_close(sum(parts), one, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_the_subsets_are_spread_evenly(count):
    cases, statistics, last = 1000, 130, 257
    for subset in (range(statistics), range(cases - last, cases)):
        sizes = []
        for rank in range(count):
            batch = batch_of(Processes(rank, count), cases)
            parts = own_cases(batch.network.processes, cases, statistics, cases - last)
            own = [case for part in parts for case in range(part.start, part.stop)]
            sizes.append(sum(case in subset for case in own))
        assert sum(sizes) == len(subset)
        assert max(sizes) - min(sizes) <= 1
