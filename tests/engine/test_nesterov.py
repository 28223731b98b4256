"""The baseline: Nesterov's accelerated gradient with the schedule of Sutskever et al. (2013)."""

import pytest
import torch

from kfac_cli.engine import NesterovOptions, NesterovSGD, Network

from . import oracles
from .oracles import Architecture, every_architecture, problem

CHAIN = Architecture((3, 2, 3, 2), ("tanh", "logistic"), "bernoulli")


def baseline(case, planned=None, **options):
    parameters = oracles.unvec(case.theta, case.architecture.layer_sizes)
    network = Network(*case.architecture)
    return NesterovSGD(network, parameters, NesterovOptions(**options), planned=planned)


def momentum_at(update, **options):
    """The mu of update number `update` = 0, 1, ...."""
    case = problem(CHAIN)
    optimizer = baseline(case, **options)
    optimizer.iteration = update
    return optimizer.step(case.inputs, case.targets).mu


@pytest.mark.parametrize("architecture", every_architecture(), ids=str)
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_the_first_step_is_the_gradient_of_the_objective(architecture, l2):
    """With no velocity and a learning rate of 1: theta - theta' = grad h, l2 on biases included."""
    case = problem(architecture)
    optimizer = baseline(case, learning_rate=1.0, l2=l2)
    record = optimizer.step(case.inputs, case.targets)
    moved = case.theta - oracles.vec(optimizer.parameters)
    torch.testing.assert_close(moved, oracles.gradient(*case, l2=l2))
    assert record.objective == pytest.approx(oracles.objective(*case, l2=l2).item(), rel=1e-12)


@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("chunk_size", [4, 1000])
def test_trajectory_across_an_increase_of_mu(l2, chunk_size):
    """Updates 247 ... 252 against the recursion written out, mu increasing from 0.5 to 0.75."""
    case = problem(CHAIN)
    optimizer = baseline(case, learning_rate=0.3, l2=l2, chunk_size=chunk_size)
    optimizer.iteration = 247
    expected = oracles.nesterov_trajectory(
        lambda theta: oracles.gradient(*case._replace(theta=theta), l2=l2),
        case.theta,
        learning_rate=0.3,
        momenta=[0.5, 0.5, 0.5, 0.75, 0.75, 0.75],
    )
    for theta in expected:
        optimizer.step(case.inputs, case.targets)
        torch.testing.assert_close(oracles.vec(optimizer.parameters), theta)


@pytest.mark.parametrize(
    ("update", "expected"),
    [(0, 1 / 2), (249, 1 / 2), (250, 3 / 4), (499, 3 / 4), (500, 5 / 6), (1000, 9 / 10)],
)
def test_mu_is_1_minus_1_over_twice_the_number_of_the_quarter_thousand(update, expected):
    """1 - 2^(-1 - log2(floor(t/250) + 1)) in closed form."""
    assert momentum_at(update, mu_max=0.999) == pytest.approx(expected, rel=1e-14)


def test_mu_stops_at_its_maximum():
    assert momentum_at(12249, mu_max=0.99) == pytest.approx(1 - 1 / 98, rel=1e-14)
    assert momentum_at(12500, mu_max=0.99) == 0.99
    assert momentum_at(500_000, mu_max=0.99) == 0.99
    assert momentum_at(500_000, mu_max=0.0) == 0.0


def test_mu_is_lowered_for_the_last_updates():
    options = {"mu_max": 0.99, "mu_final": 0.9, "planned": 30_000, "final_iterations": 1000}
    assert [momentum_at(t, **options) for t in (28_999, 29_000, 29_999)] == [0.99, 0.9, 0.9]


def test_lowering_can_be_turned_off():
    options = {"mu_max": 0.99, "mu_final": 0.9, "planned": 30_000, "final_iterations": 0}
    assert [momentum_at(t, **options) for t in (29_000, 29_999, 30_000)] == [0.99] * 3


def test_a_fixed_mu():
    options = {"mu_schedule": "fixed", "mu_max": 0.8}
    assert [momentum_at(t, **options) for t in (0, 250, 5000)] == [0.8] * 3
    ending = {**options, "planned": 5000, "mu_final": 0.5, "final_iterations": 10}
    assert [momentum_at(t, **ending) for t in (4989, 4990)] == [0.8, 0.5]


def test_the_record_is_measured_where_the_gradient_is_computed():
    case = problem(CHAIN)
    optimizer = baseline(case, learning_rate=0.3, l2=0.1)
    optimizer.step(case.inputs, case.targets)
    ahead = oracles.vec(optimizer.parameters) + 0.5 * oracles.vec(optimizer.velocity)
    record = optimizer.step(case.inputs, case.targets)
    expected = oracles.objective(*case._replace(theta=ahead), l2=0.1).item()
    assert record.objective == pytest.approx(expected, rel=1e-12)


def test_it_resumes_exactly_from_a_saved_state():
    case = problem(CHAIN)
    uninterrupted, first = (baseline(case, learning_rate=0.3) for _ in range(2))
    for _ in range(3):
        uninterrupted.step(case.inputs, case.targets)
        first.step(case.inputs, case.targets)
    second = baseline(case, learning_rate=0.3)
    second.load_state_dict(first.state_dict())
    for _ in range(3):
        uninterrupted.step(case.inputs, case.targets)
        second.step(case.inputs, case.targets)
        pairs = zip(second.parameters, uninterrupted.parameters, strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_an_unknown_schedule_is_named():
    with pytest.raises(ValueError, match="mu_schedule"):
        NesterovOptions(mu_schedule="decreasing")
