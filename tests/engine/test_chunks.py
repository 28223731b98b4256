"""What chunk_size=auto stands for: a pure function of free memory, layer sizes and dtype."""

import pytest
import torch

from kfac_cli.engine import (
    KFAC,
    KFACOptions,
    NesterovOptions,
    NesterovSGD,
    Network,
    TorchOptimizer,
    TorchOptions,
    chunks,
)
from kfac_cli.engine.chunks import (
    COPIES,
    FEWEST,
    MEMORY_SHARE,
    bytes_per_case,
    chunk_size_for,
    chunk_size_in,
)
from kfac_cli.engine.model.minibatch import MiniBatch

MNIST = [784, 1000, 500, 250, 30, 250, 500, 1000, 784]
SINGLE, DOUBLE = torch.float32, torch.float64
GIB = 2**30


def test_a_case_takes_what_its_activations_take():
    network = Network([6, 5, 3, 4], ["tanh", "tanh"], "gaussian")
    parameters = [torch.zeros(shape) for shape in network.parameter_shapes]
    activations = network.forward(parameters, torch.zeros(10, 6))
    held = [*activations.homogeneous, activations.logits]
    expected = sum(tensor.numel() * tensor.element_size() for tensor in held)
    assert 10 * bytes_per_case(network.layer_sizes, SINGLE) == expected
    assert bytes_per_case(MNIST, DOUBLE) == 2 * bytes_per_case(MNIST, SINGLE)


@pytest.mark.parametrize("free", [GIB, 7.3 * GIB, 24 * GIB, 79.1 * GIB])
@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_a_chunk_is_the_largest_power_of_2_that_fits_into_its_share(free, dtype):
    cases = chunk_size_in(int(free), MNIST, dtype)
    assert cases.bit_count() == 1
    needed = cases * COPIES * bytes_per_case(MNIST, dtype)
    assert needed <= MEMORY_SHARE * free < 2 * needed


def test_a_gpu_of_24_gib_computes_32768_cases_of_mnist_at_once():
    assert chunk_size_in(24 * GIB, MNIST, SINGLE) == 32768


def test_the_last_few_bytes_do_not_decide():
    sizes = {chunk_size_in(24 * GIB - used, MNIST, SINGLE) for used in range(0, GIB, GIB // 50)}
    assert len(sizes) == 1


@pytest.mark.parametrize("free", [0, 10**6])
def test_a_chunk_is_never_too_small(free):
    assert chunk_size_in(free, MNIST, SINGLE) == FEWEST


def test_auto_is_2000_on_a_cpu_and_a_number_is_itself():
    like = torch.empty(0)
    assert chunk_size_for("auto", MNIST, like) == 2000
    assert chunk_size_for(123, MNIST, like) == 123


def test_memory_that_torch_keeps_for_the_process_is_free(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 50)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 20)
    assert chunks.free_memory(torch.device("cuda")) == 130


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        (KFAC, KFACOptions(chunk_size="auto", lambda_initial=1.0)),
        (NesterovSGD, NesterovOptions(chunk_size="auto", learning_rate=0.1)),
        (TorchOptimizer, TorchOptions(algorithm="SGD", arguments={"lr": 0.1}, chunk_size="auto")),
    ],
)
def test_every_optimizer_decides_once_and_uses_it(monkeypatch, optimizer, options):
    """Decided at each step, it would follow the free memory, and results its rounding."""
    network = Network([3, 2, 3], ["tanh"], "gaussian")
    parameters = [torch.ones(shape) / 4 for shape in network.parameter_shapes]
    monkeypatch.setattr(chunks, "CPU_CASES", 5)
    made = optimizer(network, parameters, options, torch.Generator().manual_seed(0))
    monkeypatch.setattr(chunks, "CPU_CASES", 7)
    used, check = set(), MiniBatch.__post_init__

    def noting(batch):
        used.add(batch.chunk_size)
        check(batch)

    monkeypatch.setattr(MiniBatch, "__post_init__", noting)
    inputs = torch.arange(60.0).reshape(20, 3) / 60
    made.step(inputs, inputs)
    assert used == {5} == {made.chunk_size}
