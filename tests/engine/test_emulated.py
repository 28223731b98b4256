"""Muon in float32 where products in bfloat16 are emulated."""

import pytest
import torch
from torch import nn

from kfac_cli.engine import Network, TorchOptimizer, TorchOptions
from kfac_cli.engine.emulated import without_emulated_bfloat16

CPU = torch.device("cpu")


def on(monkeypatch, capability, machine="x86_64"):
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [("AVX2", torch.float32), ("AVX512", torch.bfloat16), ("DEFAULT", torch.float32)],
)
def test_only_without_avx_512_tensors_stay_in_float32(monkeypatch, capability, dtype):
    on(monkeypatch, capability)
    values = torch.tensor([1 / 3])
    with without_emulated_bfloat16(CPU):
        changed = values.bfloat16()
        assert torch.equal(values.double() + 1, values.double().add(1))
    assert changed.dtype == dtype
    changed.zero_()
    assert values.item() == pytest.approx(1 / 3)
    assert values.bfloat16().dtype == torch.bfloat16


def test_other_processors_keep_bfloat16(monkeypatch):
    """ARM has its own names for what it can do."""
    on(monkeypatch, "DEFAULT", machine="aarch64")
    with without_emulated_bfloat16(CPU):
        assert torch.ones(1).bfloat16().dtype == torch.bfloat16


def test_a_gpu_keeps_bfloat16(monkeypatch):
    on(monkeypatch, "AVX2")
    with without_emulated_bfloat16(torch.device("cuda")):
        assert torch.ones(1).bfloat16().dtype == torch.bfloat16


def first_update():
    """θ before and after a step of Muon without decay."""
    generator = torch.Generator().manual_seed(0)
    network = Network([6, 5, 6], ["tanh"], "bernoulli")
    before = [torch.randn(shape, generator=generator) for shape in ((5, 7), (6, 6))]
    inputs = torch.rand(20, 6, generator=generator)
    options = TorchOptions(algorithm="Muon", arguments={"lr": 1.0, "weight_decay": 0.0})
    optimizer = TorchOptimizer(network, before, options)
    optimizer.step(inputs, inputs)
    return before, optimizer.parameters


def polynomial(matrix):
    """The five Newton-Schulz steps of Jordan et al. (2024)."""
    x = matrix / matrix.norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


def test_the_update_is_the_gradient_orthogonalised_in_float32(monkeypatch):
    """In bfloat16, which has 8 bits, it is the same but for some per cent."""
    updates = {}
    for capability in ("AVX2", "AVX512"):
        on(monkeypatch, capability)
        pairs = zip(*first_update(), strict=True)
        updates[capability] = [before - after for before, after in pairs]
    for single, half in zip(updates["AVX2"], updates["AVX512"], strict=True):
        exact = single / max(1, single.shape[0] / single.shape[1]) ** 0.5
        spectrum = torch.linalg.svdvals(exact.double())
        assert spectrum.min() > 0.3 and spectrum.max() < 1.5
        difference = float((single - half).norm() / single.norm())
        assert 1e-4 < difference < 0.1


def test_newton_schulz_steps_are_those_of_the_paper(monkeypatch):
    on(monkeypatch, "AVX2")
    parameter = nn.Parameter(torch.zeros(4, 6))
    parameter.grad = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Muon([parameter], lr=1.0, weight_decay=0.0, nesterov=False)
    with without_emulated_bfloat16(CPU):
        optimizer.step()
    expected = polynomial(parameter.grad.double())
    torch.testing.assert_close(-parameter.detach().double(), expected, rtol=1e-5, atol=1e-5)
