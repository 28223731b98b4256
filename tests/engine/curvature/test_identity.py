"""F0 = I: SGD with K-FAC's momentum (section 13), against the dense system of section 7."""

import io
from dataclasses import replace

import pytest
import torch

from engine import oracles
from engine.oracles import Architecture, every_architecture, problem
from kfac_cli.engine import KFAC, KFACOptions, Network

CHAIN = Architecture((3, 2, 3, 2), ("tanh", "logistic"), "bernoulli")
EVERY = pytest.mark.parametrize("architecture", every_architecture(), ids=str)
BASE = {"inverse": "identity", "gamma_rule": "fixed"}
OPTIONS = KFACOptions(**BASE, lambda_initial=0.7, l2=0.02, t1=2, tau2=0.5, growth_max=None)
CASES = 16


def optimizer_for(architecture, options=OPTIONS):
    theta = oracles.unvec(problem(architecture).theta, architecture.layer_sizes)
    return KFAC(Network(*architecture), theta, options, torch.Generator().manual_seed(0))


def batch(architecture, iteration):
    fresh = problem(architecture, CASES, seed=100 + iteration)
    return fresh.inputs, fresh.targets


@EVERY
@pytest.mark.parametrize("momentum", [True, False])
def test_the_step_minimises_the_model_over_gradient_and_previous_step(architecture, momentum):
    """alpha and mu of the 2 x 2 system with the exact Fisher on the last tau_2 of the cases."""
    options = replace(OPTIONS, momentum=momentum)
    optimizer, previous = optimizer_for(architecture, options), None
    for iteration in range(1, 6):
        theta, damping = oracles.vec(optimizer.parameters), optimizer.damping
        inputs, targets = batch(architecture, iteration)
        slope = oracles.gradient(architecture, theta, inputs, targets, options.l2)
        curvature = oracles.fisher(architecture, theta, inputs[-(CASES // 2) :])
        curvature += (damping + options.l2) * torch.eye(len(slope), dtype=slope.dtype)
        span = [-slope] if previous is None or not momentum else [-slope, previous]
        coefficients = oracles.best_coefficients(curvature, slope, span)
        expected = torch.stack(span, dim=1) @ coefficients

        record = optimizer.step(inputs, targets)
        previous = oracles.vec(optimizer.parameters) - theta
        torch.testing.assert_close(previous, expected, rtol=1e-7, atol=1e-9)
        found = [record.alpha] if record.mu is None else [record.alpha, record.mu]
        assert found == pytest.approx(coefficients.tolist(), rel=1e-6)
        change = oracles.model_change(curvature, slope, expected).item()
        assert record.model_change == pytest.approx(change, rel=1e-6)


def test_no_targets_are_sampled_and_no_second_backward_pass_is_made(monkeypatch):
    calls = []
    backward = Network.backward
    monkeypatch.setattr(Network, "backward", lambda *a: calls.append(1) or backward(*a))
    optimizer = optimizer_for(CHAIN)
    before = optimizer.generator.get_state()
    for iteration in range(1, 4):
        optimizer.step(*batch(CHAIN, iteration))
    assert len(calls) == 3
    assert torch.equal(optimizer.generator.get_state(), before)


def test_gamma_has_no_effect():
    paths = []
    for gamma in (0.01, 100.0):
        optimizer = optimizer_for(CHAIN, replace(OPTIONS, gamma_initial=gamma))
        for iteration in range(1, 5):
            optimizer.step(*batch(CHAIN, iteration))
        paths.append(oracles.vec(optimizer.parameters))
    assert torch.equal(*paths)


def test_a_calibrated_lambda_decreases_the_objective():
    optimizer = optimizer_for(CHAIN, KFACOptions(**BASE))
    records = [optimizer.step(*batch(CHAIN, 1)) for _ in range(40)]
    assert records[-1].objective < 0.7 * records[0].objective
    assert all(record.model_change < 0 for record in records)


@pytest.mark.parametrize("saved_at", [0, 1, 4])
def test_it_resumes_exactly_from_a_saved_state(saved_at):
    uninterrupted, first = optimizer_for(CHAIN), optimizer_for(CHAIN)
    for iteration in range(saved_at):
        uninterrupted.step(*batch(CHAIN, iteration))
        first.step(*batch(CHAIN, iteration))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    second = optimizer_for(CHAIN)
    second.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    for iteration in range(saved_at, saved_at + 4):
        assert uninterrupted.step(*batch(CHAIN, iteration)) == second.step(*batch(CHAIN, iteration))
    assert all(map(torch.equal, uninterrupted.parameters, second.parameters))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma_rule": "search"}, "^gamma_rule=search: must be fixed with inverse=identity"),
        ({"gamma_rule": "tied"}, "^gamma_rule=tied: must be fixed with inverse=identity"),
        ({"fisher": "exact"}, "^fisher=exact: must be sampled with inverse=identity"),
        ({"samples": 2}, "^samples=2: must be 1 with inverse=identity"),
        ({"pi": "one"}, "^pi=one: must be trace with inverse=identity"),
        ({"tikhonov": "exact"}, "^tikhonov=exact: needs inverse=block_diagonal"),
        ({"sigma_solver": "doubling"}, "^sigma_solver=doubling: needs inverse=block_tridiagonal"),
    ],
)
def test_options_that_could_change_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        KFACOptions(**{**BASE, **options})
