"""How often the host waits for the device: seldom, whatever the numbers of cases and layers."""

import pytest
import torch

from kfac_cli.engine import Network, initial_parameters
from kfac_cli.engine.curvature import parallel
from kfac_cli.engine.model.minibatch import evaluate
from kfac_cli.engine.options.baselines import NesterovOptions
from kfac_cli.engine.options.kfac import KFACOptions
from kfac_cli.engine.registry import make_optimizer
from tests.engine.pretend_gpu import PretendGPU

DEEP = [5, 4, 3, 4, 5], ["logistic", "tanh", "relu"]
DEEPER = [5, 4, 4, 4, 4, 4, 4, 4, 5], ["tanh"] * 7
SEARCH_AT, RHO_AT = 8, 4
CANDIDATES = 3


class AnyGenerator(torch.Generator):
    """A generator of the CPU for whichever device."""

    def __new__(cls, device=None):
        return super().__new__(cls)


@pytest.fixture
def gpu(monkeypatch):
    """A pretended GPU, whose generators are the CPU's and which has one stream."""
    monkeypatch.setattr(torch, "Generator", AnyGenerator)
    one_by_one = lambda work, items, _: [work(item) for item in items]  # noqa: E731
    monkeypatch.setattr(parallel, "_on_streams", one_by_one)
    return PretendGPU()


def waits(gpu, options, steps, shape=DEEP, cases=30, output="bernoulli"):
    """What the host waited for in each of the first steps."""
    network = Network(*shape, output)
    drawn = initial_parameters(network, torch.Generator(), "glorot", 15)
    inputs = torch.rand(cases, shape[0][0], generator=torch.Generator().manual_seed(1))
    counts = []
    with gpu:
        parameters = [gpu.send(w) for w in drawn]
        optimizer = make_optimizer(network, parameters, options, torch.Generator(), 100)
        for _ in range(steps):
            before = len(gpu.waits)
            record = optimizer.step(inputs, inputs, measure_noise=True)
            assert record.outcome == "accepted"
            assert all(gpu.holds(w) for w in optimizer.parameters)
            counts.append(gpu.waits[before:])
    return counts


def kfac(**options):
    chosen = {
        "tikhonov": "factored",
        "lambda_initial": 10.0,
        "chunk_size": 10,
        "t1": RHO_AT,
        "t2": SEARCH_AT,
        "t3": SEARCH_AT,
    }
    return KFACOptions(**chosen | options)


@pytest.mark.parametrize("cases", [30, 60])
@pytest.mark.parametrize("shape", [DEEP, DEEPER])
@pytest.mark.parametrize("inverse", ["block_diagonal", "block_tridiagonal"])
def test_a_step_of_kfac_waits_twice_and_for_the_reduction_ratio_once_more(
    gpu, inverse, shape, cases
):
    counts = waits(gpu, kfac(inverse=inverse), 7, shape, cases)
    assert [len(names) for names in counts[3:]] == [3, 2, 2, 2]


def test_a_block_diagonal_search_for_gamma_waits_once_more_for_each_candidate(gpu):
    [*_, search] = waits(gpu, kfac(inverse="block_diagonal"), SEARCH_AT)
    assert len(search) == 3 + CANDIDATES


def test_a_block_tridiagonal_search_waits_twice_more_for_each_candidate(gpu):
    """Once to see which factors are positive definite, once for the doublings."""
    [*_, search] = waits(gpu, kfac(inverse="block_tridiagonal"), SEARCH_AT)
    assert len(search) == 3 + 2 * CANDIDATES


def test_decompositions_wait_once_each_besides(gpu):
    """Those of torch check on the host whether they converged."""
    options = kfac(inverse="block_tridiagonal", sigma_solver="decomposition")
    [*_, search] = waits(gpu, options, SEARCH_AT)
    decompositions = sum("eigh" in name for name in search)
    assert decompositions == CANDIDATES * 2 * (len(DEEP[0]) - 2)
    assert len(search) - decompositions == 3 + 2 * CANDIDATES


@pytest.mark.parametrize(
    "options",
    [
        {"momentum": False},
        {"rescaling": False, "learning_rate": 0.01, "momentum": False},
        {"mu": 0.8, "alpha_scale": 0.5},
        {"l2": 0.0, "inverse": "block_diagonal"},
        {"inverse": "ekfac"},
        {"fisher": "empirical"},
        {"fisher": "exact"},
        {"inverse": "identity", "gamma_rule": "fixed"},
        {"samples": 3},
        {"growth_max": None},
    ],
)
def test_so_it_does_with_other_options(gpu, options):
    counts = waits(gpu, kfac(**options), 6)
    assert [len(names) for names in counts[3:]] == [3, 2, 2]


@pytest.mark.parametrize("output", ["gaussian", "categorical"])
def test_so_it_does_for_other_outputs(gpu, output):
    assert [len(names) for names in waits(gpu, kfac(), 5, output=output)[3:]] == [3, 2]


def test_a_step_of_the_baseline_waits_once(gpu):
    assert [len(names) for names in waits(gpu, NesterovOptions(chunk_size=10), 3)] == [1, 1, 1]


def test_an_evaluation_waits_once(gpu):
    network = Network(*DEEP, "bernoulli")
    parameters = initial_parameters(network, torch.Generator(), "glorot", 15)
    with gpu:
        there = [gpu.send(w) for w in parameters]
        evaluate(network, there, torch.rand(40, 5), torch.rand(40, 5), 10)
    assert len(gpu.waits) == 1


def test_the_pretended_gpu_notices_what_a_real_one_would(gpu):
    with gpu:
        there, here = gpu.send(torch.rand(3, 3)), torch.rand(3, 3)
        assert there.device.type == "cuda"
        assert here.device.type == "cpu"
        assert gpu.holds(there.T @ there) and not gpu.holds(here.T @ here)
        assert gpu.holds(here.to(there.device)) and not gpu.holds(here)
        with pytest.raises(RuntimeError, match="same device"):
            there @ here
        assert gpu.waits == []
        float(there.sum())
        bool((there > 0).all())
        there[there > 2]
        there.to("cpu")
        torch.linalg.eigh(there)
        there.tolist()
        assert len(gpu.waits) == 6
