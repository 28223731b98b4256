"""What every optimizer of the registry does: with a wrong call, and with an objective of NaN."""

import math

import pytest
import torch
from soak.compare import place_of_difference

from kfac_cli.engine import KFACOptions, NesterovOptions, Network, TorchOptions
from kfac_cli.engine.curvature.registry import CURVATURES
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.engine.registry import OPTIMIZERS, make_optimizer

from . import oracles
from .oracles import Architecture, problem

CHAIN = Architecture((3, 2, 3, 2), ("tanh", "logistic"), "bernoulli")
OPTIONS = {
    **{
        f"kfac {inverse}": KFACOptions(
            inverse=inverse,
            gamma_rule="fixed" if inverse == "identity" else "search",
            t1=2,
            t2=2,
            t3=2,
        )
        for inverse in CURVATURES
    },
    "nesterov": NesterovOptions(),
    "torch": TorchOptions(algorithm="Adam", arguments={"lr": 0.01}),
}
EACH_OPTIMIZER = pytest.mark.parametrize("name", OPTIONS)


def test_no_optimizer_is_missing_above():
    assert {type(options) for options in OPTIONS.values()} == {
        kind.options for kind in OPTIMIZERS.values()
    }


def optimizer_of(name):
    parameters = oracles.unvec(problem(CHAIN).theta, CHAIN.layer_sizes)
    generator = torch.Generator().manual_seed(0)
    return make_optimizer(Network(*CHAIN), parameters, OPTIONS[name], generator)


def batch(iteration):
    fresh = problem(CHAIN, 12, seed=100 + iteration)
    return fresh.inputs, fresh.targets


def unchanged_by(optimizer, wrong_call):
    before = optimizer.state_dict()
    wrong_call()
    return place_of_difference(before, optimizer.state_dict()) is None


def follow_the_same_path(optimizer, other, first):
    for iteration in range(first, first + 4):
        if optimizer.step(*batch(iteration)) != other.step(*batch(iteration)):
            return False
    return all(map(torch.equal, optimizer.parameters, other.parameters))


@EACH_OPTIMIZER
@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((12, 3), (12, 3)), r"^targets of shape \(12, 3\): expected \(cases, 2\)$"),
        (((12, 3), (12, 1)), r"^targets of shape \(12, 1\): expected \(cases, 2\)$"),
        (((12, 3), (12,)), r"^targets of shape \(12,\): expected \(cases, 2\)$"),
        (((12, 4), (12, 2)), r"^inputs of shape \(12, 4\): expected \(cases, 3\)$"),
        (((12, 1, 3), (12, 2)), r"^inputs of shape \(12, 1, 3\): expected \(cases, 3\)$"),
        (((12, 3), (11, 2)), "12 inputs, 11 targets$"),
    ],
)
def test_wrong_shapes_are_refused_in_one_line_without_a_trace(name, shapes, message, done=3):
    optimizer, other = optimizer_of(name), optimizer_of(name)
    for iteration in range(done):
        optimizer.step(*batch(iteration))
        other.step(*batch(iteration))

    def wrong_call():
        with pytest.raises(ValueError, match=message):
            optimizer.step(*(torch.zeros(shape) for shape in shapes))

    assert unchanged_by(optimizer, wrong_call)
    assert follow_the_same_path(optimizer, other, done)


@EACH_OPTIMIZER
def test_complex_numbers_are_refused(name):
    inputs, targets = batch(0)
    with pytest.raises(ValueError, match=r"^inputs of dtype torch.complex128: expected real"):
        optimizer_of(name).step(inputs.to(torch.complex128), targets)


@EACH_OPTIMIZER
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.uint8, torch.bool])
def test_any_real_dtype_is_converted_to_that_of_the_parameters(name, dtype):
    inputs, targets = ((values > 0).to(dtype) for values in batch(0))
    given, converted = optimizer_of(name), optimizer_of(name)
    record = given.step(inputs, targets)
    assert record == converted.step(inputs.double(), targets.double())
    assert all(map(torch.equal, given.parameters, converted.parameters))


@EACH_OPTIMIZER
def test_the_noise_of_one_case_is_refused_without_a_trace(name):
    optimizer, other = optimizer_of(name), optimizer_of(name)

    def wrong_call():
        with pytest.raises(ValueError, match="a variance needs 2 or more"):
            optimizer.step(*(values[:1] for values in batch(0)), measure_noise=True)

    assert unchanged_by(optimizer, wrong_call)
    assert follow_the_same_path(optimizer, other, 0)


class FailureError(Exception):
    """What no check foresees, such as exhausted memory."""


@pytest.mark.parametrize("name", [name for name in OPTIONS if name.startswith("kfac")])
@pytest.mark.parametrize("method", ["fisher_gram", "objective"])
@pytest.mark.parametrize("done", [0, 3])
def test_a_failure_in_the_middle_of_a_step_leaves_no_trace(monkeypatch, name, method, done):
    """At iteration 4 the running averages change, γ is searched for, and ρ is measured."""
    optimizer, other = optimizer_of(name), optimizer_of(name)
    for iteration in range(done):
        optimizer.step(*batch(iteration))
        other.step(*batch(iteration))

    def fail(*arguments):
        raise FailureError

    def wrong_call():
        with monkeypatch.context() as patch, pytest.raises(FailureError):
            patch.setattr(MiniBatch, method, fail)
            optimizer.step(*batch(done))

    assert unchanged_by(optimizer, wrong_call)
    assert follow_the_same_path(optimizer, other, done)


@EACH_OPTIMIZER
@pytest.mark.parametrize("resumed", [False, True])
def test_an_objective_that_is_not_finite_reverts_the_previous_step(name, resumed):
    """Theta is then that before the step which led to it; the iteration counts."""
    optimizer = optimizer_of(name)
    optimizer.step(*batch(0))
    before = optimizer.parameters
    optimizer.step(*batch(1))
    if resumed:
        state = optimizer.state_dict()
        optimizer = optimizer_of(name)
        optimizer.load_state_dict(state)
    inputs, targets = batch(2)
    record = optimizer.step(math.nan * inputs, targets)
    assert record.outcome == "reverted"
    assert math.isnan(record.objective)
    assert optimizer.iteration == 3
    assert all(map(torch.equal, optimizer.parameters, before))


@EACH_OPTIMIZER
def test_without_a_previous_step_the_parameters_stay_what_they_are(name):
    optimizer = optimizer_of(name)
    before = optimizer.parameters
    inputs, targets = batch(0)
    assert optimizer.step(math.nan * inputs, targets).outcome != "accepted"
    assert all(map(torch.equal, optimizer.parameters, before))
