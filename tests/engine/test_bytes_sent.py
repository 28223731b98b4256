"""What the processes of a run send in an iteration, as docs/distributed.md has it."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import distributed

from kfac_cli.engine import KFACOptions, Network, sparse_initialization
from kfac_cli.engine.curvature import spread
from kfac_cli.engine.options.baselines import NesterovOptions, TorchOptions
from kfac_cli.engine.parcel import Parcel
from kfac_cli.engine.processes import Processes
from kfac_cli.engine.registry import make_optimizer

MNIST = [784, 1000, 500, 250, 30, 250, 500, 1000, 784]


def weights(sizes):
    return sum(above * (below + 1) for below, above in pairwise(sizes))


def statistics(sizes, neighbours):
    columns, rows = [d + 1 for d in sizes[:-1]], sizes[1:]
    diagonal = sum(d * d for d in [*columns, *rows])
    beside = [*pairwise(columns), *pairwise(rows)] if neighbours else []
    return diagonal + sum(below * above for below, above in beside)


def bytes_summed(optimizer, sizes, itemsize, objectives=0):
    """The formula: `objectives` counts the evaluations of h at other parameters."""
    if optimizer in ("nesterov", "adam"):
        return itemsize * weights(sizes) + 16
    matrices = weights(sizes) + statistics(sizes, optimizer == "block_tridiagonal")
    return itemsize * matrices + 16 + 8 * 4 + 16 * objectives


def entries_of_inverse(optimizer, sizes):
    """Of the inverses of Ā and G, and of the couplings by decompositions."""
    if optimizer not in ("block_tridiagonal", "block_diagonal"):
        return 0
    columns, rows = [d + 1 for d in sizes[:-1]], sizes[1:]
    entries = sum(d * d for d in [*columns, *rows])
    if optimizer == "block_diagonal":
        return entries
    for a, g in zip(pairwise(columns), pairwise(rows), strict=True):
        r, s = min(a), min(g)
        entries += sum(a) * r + sum(g) * s + r + s + r * s
    return entries


def options_of(optimizer):
    if optimizer == "nesterov":
        return NesterovOptions(learning_rate=0.01)
    if optimizer == "adam":
        return TorchOptions(algorithm="Adam", arguments={"lr": 0.001})
    factored = {"tikhonov": "factored", "lambda_initial": 100.0, "growth_max": None}
    return KFACOptions(inverse=optimizer, **factored)


@pytest.mark.parametrize("optimizer", ["block_tridiagonal", "block_diagonal", "nesterov", "adam"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_iteration_sends_what_the_formula_says(optimizer, dtype, monkeypatch):
    sizes, sent = [6, 5, 3, 6], []

    def all_reduce(tensor):
        sent.append(tensor.numel() * tensor.element_size())
        tensor.mul_(2)  # the other process has as much

    def all_gather_object(parcels, parcel):
        parcels[:] = [parcel, Parcel.of(({}, [], None))[0]]  # the other process makes no part

    def broadcast(tensor, src):
        exchanged.append(tensor.numel() * tensor.element_size())

    exchanged = []
    monkeypatch.setattr(distributed, "all_reduce", all_reduce)
    monkeypatch.setattr(distributed, "all_gather_object", all_gather_object)
    monkeypatch.setattr(distributed, "broadcast", broadcast)
    monkeypatch.setattr(spread, "longest_first", lambda costs, count: [0] * len(costs))
    generator = torch.Generator().manual_seed(0)
    network = Network(sizes, ["tanh", "tanh"], "bernoulli", processes=Processes(0, 2))
    parameters = [w.to(dtype) for w in sparse_initialization(network, generator)]
    made = make_optimizer(network, parameters, options_of(optimizer), generator, 10)
    data = torch.rand(40, 6, generator=generator)
    for iteration in range(1, 6):
        sent.clear()
        exchanged.clear()
        made.step(data, data)
        refreshed = iteration <= 3 and optimizer.startswith("block")
        assert len(exchanged) == refreshed
        assert sum(exchanged) == refreshed * dtype.itemsize * entries_of_inverse(optimizer, sizes)
        measured = int(optimizer.startswith("block") and iteration == 5)  # ρ, every T₁ iterations
        if iteration > 3:
            assert sum(sent) == bytes_summed(optimizer, sizes, dtype.itemsize, measured)
            calls = 2 if dtype == torch.float32 else 1
            assert len(sent) == calls + (1 + measured if optimizer.startswith("block") else 0)


def test_the_page_has_the_numbers_of_the_formula():
    page = Path("docs/distributed.md").read_text(encoding="utf-8")
    for optimizer in ("block_tridiagonal", "block_diagonal", "nesterov"):
        assert f"{bytes_summed(optimizer, MNIST, 4) / 1e6:.1f} MB" in page
    for optimizer in ("block_tridiagonal", "block_diagonal"):
        assert f"{4 * entries_of_inverse(optimizer, MNIST) / 1e6:.1f} MB" in page
