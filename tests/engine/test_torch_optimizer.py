"""Every optimizer of torch.optim on the engine's gradient: the same steps, exact resumption."""

import math
from itertools import pairwise

import pytest
import torch

from engine import oracles
from engine.oracles import Architecture, problem
from kfac_cli.engine import Network, TorchOptimizer, TorchOptions
from kfac_cli.engine.declaration import OptionError
from kfac_cli.engine.emulated import without_emulated_bfloat16
from kfac_cli.engine.torch_optimizer import REFUSED, check

CHAIN = Architecture((3, 2, 3, 2), ("tanh", "logistic"), "bernoulli")
EVERY = sorted(
    name
    for name in torch.optim.__all__
    if isinstance(kind := getattr(torch.optim, name), type)
    and issubclass(kind, torch.optim.Optimizer)
    and name not in REFUSED
)


def optimizer_for(case, algorithm="Adam", planned=None, l2=0.1, **options):
    arguments = options.pop("arguments", {})
    parameters = oracles.unvec(case.theta, case.architecture.layer_sizes)
    chosen = TorchOptions(algorithm=algorithm, arguments=arguments, l2=l2, **options)
    return TorchOptimizer(Network(*case.architecture), parameters, chosen, planned=planned)


def test_there_are_optimizers_to_test():
    assert {"Adam", "AdamW", "SGD", "RMSprop", "Adagrad"} <= set(EVERY)


@pytest.mark.parametrize("chunk_size", [3, 1000])
def test_sgd_with_rate_1_steps_by_the_gradient_of_the_objective(chunk_size):
    case = problem(CHAIN)
    optimizer = optimizer_for(case, "SGD", arguments={"lr": 1.0}, chunk_size=chunk_size)
    record = optimizer.step(case.inputs, case.targets)
    change = case.theta - oracles.vec(optimizer.parameters)
    torch.testing.assert_close(change, oracles.gradient(*case, l2=0.1))
    assert record.objective == pytest.approx(float(oracles.objective(*case, l2=0.1)))
    assert record.outcome == "accepted"


@pytest.mark.parametrize("algorithm", EVERY)
def test_the_steps_are_those_of_torch_on_the_same_gradients(algorithm):
    case = problem(CHAIN)
    optimizer = optimizer_for(case, algorithm)
    theirs = [torch.nn.Parameter(w.clone()) for w in optimizer.parameters]
    reference = getattr(torch.optim, algorithm)(theirs)
    for _ in range(5):
        theta = oracles.vec([w.detach() for w in theirs])
        gradient = oracles.gradient(*case._replace(theta=theta), l2=0.1)
        slopes = oracles.unvec(gradient, case.architecture.layer_sizes)
        for weights, slope in zip(theirs, slopes, strict=True):
            weights.grad = slope
        with without_emulated_bfloat16(case.theta.device):
            reference.step()
        optimizer.step(case.inputs, case.targets)
    for mine, weights in zip(optimizer.parameters, theirs, strict=True):
        torch.testing.assert_close(mine, weights.detach())


@pytest.mark.parametrize("algorithm", EVERY)
@pytest.mark.parametrize("half", [0, 1, 4])
def test_it_continues_exactly_from_its_state(algorithm, half):
    case = problem(CHAIN)
    whole = optimizer_for(case, algorithm, planned=8, rate_schedule="cosine", warmup=2)
    first = optimizer_for(case, algorithm, planned=8, rate_schedule="cosine", warmup=2)
    for _ in range(half):
        first.step(case.inputs, case.targets)
    second = optimizer_for(case, algorithm, planned=8, rate_schedule="cosine", warmup=2)
    second.load_state_dict(first.state_dict())
    for _ in range(8):
        whole.step(case.inputs, case.targets)
    for _ in range(8 - half):
        second.step(case.inputs, case.targets)
    assert second.iteration == 8
    for mine, theirs in zip(second.parameters, whole.parameters, strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("algorithm", ["Adam", "SGD", "Muon"])
def test_an_earlier_state_is_restored_over_a_later_one(algorithm):
    case = problem(CHAIN)
    optimizer = optimizer_for(case, algorithm)
    for _ in range(2):
        start = optimizer.state_dict()
        optimizer.step(case.inputs, case.targets)
        first = [w.clone() for w in optimizer.parameters]
        for _ in range(2):  # loading a state leaves it as it is
            optimizer.step(case.inputs, case.targets)
            optimizer.load_state_dict(start)
            optimizer.step(case.inputs, case.targets)
            assert all(torch.equal(a, b) for a, b in zip(optimizer.parameters, first, strict=True))


def test_a_step_that_fails_in_torch_leaves_the_parameters_as_they_were(monkeypatch):
    case = problem(CHAIN)
    optimizer = optimizer_for(case)
    optimizer.step(case.inputs, case.targets)
    before = [w.clone() for w in optimizer.parameters]

    def fail(*arguments, **keywords):
        for own in optimizer._own:
            own.data.mul_(7)
        raise MemoryError

    monkeypatch.setattr(torch.optim.Adam, "step", fail)
    with pytest.raises(MemoryError):
        optimizer.step(case.inputs, case.targets)
    assert all(torch.equal(a, b) for a, b in zip(optimizer.parameters, before, strict=True))
    assert optimizer.iteration == 1


def test_parameters_are_new_tensors_at_each_step():
    case = problem(CHAIN)
    optimizer = optimizer_for(case)
    before = optimizer.parameters
    kept = [w.clone() for w in before]
    optimizer.step(case.inputs, case.targets)
    assert all(torch.equal(w, k) for w, k in zip(before, kept, strict=True))
    assert not torch.equal(optimizer.parameters[0], before[0])


def rates(planned, **options):
    chosen = TorchOptions(algorithm="Adam", arguments={}, **options)
    return [chosen.rate_factor(t, planned) for t in range(10)]


def test_a_constant_rate_stays_and_a_warm_up_is_linear():
    assert rates(10) == [1.0] * 10
    assert rates(10, warmup=4) == [0.25, 0.5, 0.75] + [1.0] * 7
    assert rates(None, rate_schedule="cosine", warmup=4) == [0.25, 0.5, 0.75] + [1.0] * 7


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_falling_rate_starts_at_1_after_the_warm_up_and_ends_before_0(schedule):
    factors = rates(10, rate_schedule=schedule, warmup=2)
    assert factors[:3] == [0.5, 1.0, 1.0]
    assert all(later < earlier for earlier, later in pairwise(factors[2:]))
    assert 0 < factors[-1] < 0.15
    beyond = TorchOptions(algorithm="Adam", arguments={}, rate_schedule=schedule)
    assert beyond.rate_factor(12, 10) == 0


def test_the_schedules_are_their_formulas():
    assert rates(10, rate_schedule="linear") == pytest.approx([1 - t / 10 for t in range(10)])
    cosine = [0.5 * (1 + math.cos(math.pi * t / 10)) for t in range(10)]
    assert rates(10, rate_schedule="cosine") == pytest.approx(cosine)


def test_the_rate_reaches_torch():
    case = problem(CHAIN)
    whole = optimizer_for(case, "SGD", arguments={"lr": 1.0}, l2=0.0)
    half = optimizer_for(case, "SGD", arguments={"lr": 1.0}, l2=0.0, warmup=2)
    for optimizer in (whole, half):
        optimizer.step(case.inputs, case.targets)
    full, part = (case.theta - oracles.vec(o.parameters) for o in (whole, half))
    torch.testing.assert_close(part, full / 2)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"algorithm": "LBFGS"}, "algorithm=LBFGS: does not fit: it evaluates the objective sev"),
        ({"algorithm": "SparseAdam"}, "algorithm=SparseAdam: does not fit: it takes sparse gra"),
        ({"algorithm": "Optimizer"}, "algorithm=Optimizer: does not fit: it is the base class"),
        ({"algorithm": "adam"}, "algorithm=adam: must be Adadelta, Adafactor, Adagrad, Adam, Ada"),
        ({"algorithm": "lr_scheduler"}, "algorithm=lr_scheduler: must be "),
        ({"algorithm": "__doc__"}, "algorithm=__doc__: must be "),
        ({"arguments": {"rate": 1}}, "arguments.rate=1: Adam has no such argument; it has lr, b"),
        ({"arguments": {"params": 1}}, "arguments.params=1: Adam has no such argument; it has lr"),
        ({"arguments": {"lr": -1}}, "arguments={lr:-1}: Adam refuses them: Invalid learning"),
        ({"arguments": {"lr": None}}, "arguments.lr=null: must be of the kind of Adam's default"),
        ({"arguments": {"lr": math.nan}}, "arguments.lr=nan: must be of the kind of Adam's def"),
        ({"arguments": {"lr": "???"}}, "arguments.lr=???: must be of the kind of Adam's default"),
        ({"arguments": {"amsgrad": "yes"}}, "arguments.amsgrad=yes: must be of the kind of Adam"),
        ({"arguments": {"foreach": "abc"}}, "arguments.foreach=abc: must be of the kind of Ada"),
        ({"arguments": {"betas": 3}}, "arguments.betas=3: must be of the kind of Adam's default"),
        ({"arguments": {"betas": [0.9]}}, "arguments.betas=[0.9]: must be of the kind of Adam's"),
        ({"arguments": {"capturable": True}}, "arguments.capturable=true: Adam has no such argum"),
        ({"arguments": {"differentiable": True}}, "arguments.differentiable=true: Adam has no su"),
        (
            {"algorithm": "Muon", "arguments": {"ns_steps": 1000}},
            "arguments={ns_steps:1000}: Muon refuses them: ",
        ),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_in_one_line(options, line):
    with pytest.raises(OptionError) as caught:
        check(TorchOptions(**{"algorithm": "Adam", "arguments": {}, **options}))
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)
