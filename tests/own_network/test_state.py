"""KFACOptimizer.state_dict: training continues bit for bit; other states are refused."""

import io
import pickle

import pytest
import torch

from kfac_cli.engine import KFACOptions
from kfac_cli.engine.curvature.registry import CURVATURES

from .helpers import OPTIONS, OVERFLOWING, batch, mlp, optimizer_of, same, take_steps


def through_a_file(state):
    """The state as torch.load reads it without running any code."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def resumed(module, optimizer, **options):
    """Another module with an optimizer that continues from the state of a first one."""
    states = through_a_file({"module": module.state_dict(), "optimizer": optimizer.state_dict()})
    other = mlp(seed=1)
    other_optimizer = optimizer_of(other, **options)
    other.load_state_dict(states["module"])
    other_optimizer.load_state_dict(states["optimizer"])
    return other, other_optimizer


@pytest.mark.parametrize("inverse", CURVATURES)
@pytest.mark.parametrize("done", [0, 1, 5])
def test_training_continues_bit_for_bit(inverse, done):
    options = {"inverse": inverse}
    if inverse == "identity":
        options["gamma_rule"] = "fixed"
    module = mlp()
    optimizer = optimizer_of(module, **options)
    take_steps(optimizer, "categorical", done)
    other, other_optimizer = resumed(module, optimizer, **options)
    assert same(module, other)
    expected = take_steps(optimizer, "categorical", 5, first=done)
    assert take_steps(other_optimizer, "categorical", 5, first=done) == expected
    assert same(module, other)


def test_the_module_may_be_loaded_after_the_optimizer():
    module = mlp()
    optimizer = optimizer_of(module)
    take_steps(optimizer, "categorical", 3)
    other = mlp(seed=1)
    other_optimizer = optimizer_of(other)
    other_optimizer.load_state_dict(optimizer.state_dict())
    other.load_state_dict(module.state_dict())
    take_steps(optimizer, "categorical", 3, first=3)
    take_steps(other_optimizer, "categorical", 3, first=3)
    assert same(module, other)


def test_a_step_that_went_too_far_is_reverted_after_resuming_too():
    module = mlp()
    optimizer = optimizer_of(module)
    take_steps(optimizer, "categorical", 2)
    other, other_optimizer = resumed(module, optimizer)
    inputs, targets = batch("categorical", 2)
    for each in (optimizer, other_optimizer):
        each.step(OVERFLOWING * inputs, targets)
        assert each.record.outcome == "reverted"
    assert same(module, other)


def test_a_state_does_not_change_with_later_steps():
    module = mlp()
    optimizer = optimizer_of(module)
    take_steps(optimizer, "categorical", 2)
    module_state = {name: value.clone() for name, value in module.state_dict().items()}
    state = optimizer.state_dict()
    expected = take_steps(optimizer, "categorical", 4, first=2)
    module.load_state_dict(module_state)
    optimizer.load_state_dict(state)
    assert take_steps(optimizer, "categorical", 4, first=2) == expected


@pytest.mark.parametrize("copy", [lambda o: o.load_state_dict(o.state_dict()), pickle.dumps])
def test_nothing_is_left_where_torch_keeps_states(copy):
    """It would keep the memory of what K-FAC had learnt then."""
    module = mlp()
    optimizer = optimizer_of(module)
    take_steps(optimizer, "categorical", 1)
    copy(optimizer)
    assert not optimizer.state
    [_, again] = pickle.loads(pickle.dumps((module, optimizer)))
    assert not again.state


def test_a_loaded_state_is_that_of_the_given_generator():
    generator = torch.Generator().manual_seed(3)
    module = mlp()
    optimizer = optimizer_of(module, generator=generator)
    take_steps(optimizer, "categorical", 2)
    saved = generator.get_state()
    optimizer.load_state_dict(optimizer.state_dict())
    assert torch.equal(generator.get_state(), saved)
    take_steps(optimizer, "categorical", 1, first=2)
    assert not torch.equal(generator.get_state(), saved)


def test_the_saved_options_are_loaded_as_with_torchs_optimizers():
    module = mlp()
    optimizer = optimizer_of(module, l2=0.25, inverse="block_diagonal")
    take_steps(optimizer, "categorical", 2)
    other, other_optimizer = resumed(module, optimizer)
    group = other_optimizer.param_groups[0]
    assert (group["l2"], group["inverse"]) == (0.25, "block_diagonal")
    take_steps(optimizer, "categorical", 3, first=2)
    take_steps(other_optimizer, "categorical", 3, first=2)
    assert same(module, other)


def test_options_that_an_earlier_version_did_not_have_are_the_defaults():
    module = mlp()
    optimizer = optimizer_of(module)
    state = optimizer.state_dict()
    del state["param_groups"][0]["cg_steps"]
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["cg_steps"] == KFACOptions().cg_steps


def test_hooks_of_states_are_called():
    optimizer = optimizer_of(mlp())
    seen = []
    optimizer.register_state_dict_post_hook(lambda opt, state: seen.append("saved"))
    optimizer.register_load_state_dict_pre_hook(lambda opt, state: seen.append("loading"))
    optimizer.register_load_state_dict_post_hook(lambda opt: seen.append("loaded"))
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen == ["saved", "loading", "loaded"]


def test_an_optimizer_is_pickled_with_its_module():
    module = mlp()
    optimizer = optimizer_of(module)
    take_steps(optimizer, "categorical", 2)
    other, other_optimizer = pickle.loads(pickle.dumps((module, optimizer)))
    assert other_optimizer.record == optimizer.record
    take_steps(optimizer, "categorical", 3, first=2)
    take_steps(other_optimizer, "categorical", 3, first=2)
    assert same(module, other)


def forged(change):
    optimizer = optimizer_of(mlp())
    take_steps(optimizer, "categorical", 2)
    state = optimizer.state_dict()
    change(state)
    return state


def adam_state():
    module = mlp()
    return torch.optim.Adam(module.parameters()).state_dict()


def wider_state():
    module = mlp(outputs=7)
    return optimizer_of(module).state_dict()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (adam_state, r"^lr=0\.001: no such option$"),
        (wider_state, r"^kfac\.parameters\[2\]=.*: must be torch\.float32 of the shape \[3, 5\]$"),
        (
            lambda: forged(lambda state: state["state"].clear()),
            "^state: has nothing of K-FAC's; load what KFACOptimizer.state_dict gave$",
        ),
        (
            lambda: forged(lambda state: state["state"]["kfac"].update(iteration=-1)),
            r"^kfac\.iteration=-1: must be a whole number",
        ),
        (
            lambda: forged(lambda state: state["state"].update(network="relu, relu, gaussian")),
            "^state: is that of a network with relu, relu, gaussian, not tanh, relu, categorical$",
        ),
        (
            lambda: forged(lambda state: state["state"]["kfac"].pop("damping")),
            r"^kfac\.damping: is missing$",
        ),
        (
            lambda: forged(lambda state: state["param_groups"][0].update(tau1=7)),
            r"^tau1=7: must be a number in \(0, 1\]$",
        ),
    ],
    ids=["adam", "wider", "empty", "iteration", "network", "damping", "option"],
)
def test_a_state_that_cannot_be_is_refused_and_nothing_changes(make, message):
    module, other = mlp(), mlp()
    optimizer, without = optimizer_of(module), optimizer_of(other)
    for each in (optimizer, without):
        take_steps(each, "categorical", 2)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(make())
    assert optimizer.param_groups[0]["tau1"] == OPTIONS["tau1"]
    for each in (optimizer, without):
        take_steps(each, "categorical", 2, first=2)
    assert same(module, other)
