"""KFACOptimizer.step: the engine's K-FAC, in place, on a module of one's own."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

import kfac_cli
from kfac_cli import KFACOptimizer
from kfac_cli.engine import KFAC, KFACOptions
from kfac_cli.engine.curvature.registry import CURVATURES
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.torch_module import from_sequential

from .helpers import (
    CASES,
    OPTIONS,
    OUTPUT_NAMES,
    OUTPUTS,
    OVERFLOWING,
    batch,
    mlp,
    optimizer_of,
    same,
    take_steps,
    values,
)

EACH_OUTPUT = pytest.mark.parametrize("output", OUTPUT_NAMES)
EACH_DTYPE = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def for_engine(inputs, targets):
    return inputs, functional.one_hot(targets, OUTPUTS) if targets.dim() == 1 else targets


def engine_of(module, output, **options):
    network, parameters = from_sequential(module, output)
    generator = torch.Generator().manual_seed(0)
    return KFAC(network, parameters, KFACOptions(**{**OPTIONS, **options}), generator)


@torch.no_grad()
def torch_loss(output, module, inputs, targets):
    """The mean loss over cases, summed over outputs, as torch computes it."""
    logits = module(inputs)
    if output == "categorical":
        return float(functional.cross_entropy(logits, targets))
    if output == "bernoulli":
        loss = functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
        return float(loss) / CASES
    return float(functional.mse_loss(logits, targets, reduction="sum")) / 2 / CASES


def parts(engine):
    """The engine's parameters as a module has them: weights and biases."""
    return [part for w in engine.parameters for part in (w[:, :-1], w[:, -1])]


@EACH_OUTPUT
@EACH_DTYPE
@pytest.mark.parametrize("inverse", CURVATURES)
def test_the_steps_are_those_of_the_engine_bit_for_bit(output, dtype, inverse):
    options = {"inverse": inverse}
    if inverse == "identity":
        options["gamma_rule"] = "fixed"
    module = mlp(dtype)
    optimizer, engine = (
        optimizer_of(module, output, **options),
        engine_of(module, output, **options),
    )
    for step in range(9):
        given = batch(output, step, dtype)
        optimizer.step(*given)
        assert optimizer.record == engine.step(*for_engine(*given))
        assert same(module, parts(engine))
    assert all(parameter.dtype == dtype for parameter in module.parameters())


def test_it_is_an_optimizer_of_torch_and_learns():
    module = mlp()
    optimizer = optimizer_of(module)
    assert isinstance(optimizer, torch.optim.Optimizer)
    inputs, targets = batch("categorical")
    losses = [optimizer.step(inputs, targets) for _ in range(20)]
    assert losses[-1] < losses[0] / 3


def test_the_parameters_are_changed_in_place():
    module = mlp()
    before = list(module.parameters())
    addresses = [parameter.data_ptr() for parameter in before]
    start = values(module)
    optimizer_of(module).step(*batch("categorical"))
    assert all(now is then for now, then in zip(module.parameters(), before, strict=True))
    assert [parameter.data_ptr() for parameter in module.parameters()] == addresses
    assert not any(map(torch.equal, values(module), start))


@EACH_OUTPUT
def test_step_returns_the_loss_that_torch_computes_before_the_update(output):
    module = mlp(torch.float64)
    optimizer = optimizer_of(module, output, l2=0.1)
    inputs, targets = batch(output, dtype=torch.float64)
    for _ in range(3):
        expected = torch_loss(output, module, inputs, targets)
        assert optimizer.step(inputs, targets) == pytest.approx(expected, rel=1e-12)


def test_record_has_the_figures_of_the_last_step():
    optimizer = optimizer_of(mlp(), l2=0.0)
    assert optimizer.record is None
    loss = optimizer.step(*batch("categorical"))
    assert optimizer.record.objective == loss
    assert 0 <= optimizer.record.error <= 1
    assert optimizer.record.damping > 0
    assert optimizer.record.outcome == "accepted"


def test_gradients_are_neither_used_nor_changed():
    module, other = mlp(), mlp()
    optimizer, without = optimizer_of(module), optimizer_of(other)
    inputs, targets = batch("categorical")
    functional.cross_entropy(module(inputs), targets).backward()
    gradients = [parameter.grad.clone() for parameter in module.parameters()]
    assert optimizer.step(inputs, targets) == without.step(inputs, targets)
    assert same(module, other)
    assert all(map(torch.equal, (p.grad for p in module.parameters()), gradients))
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in module.parameters())


def test_inputs_of_a_graph_and_autocast_do_not_matter():
    module, other = mlp(), mlp()
    inputs, targets = batch("categorical")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = optimizer_of(module).step(inputs.clone().requires_grad_() * 1, targets)
    assert loss == optimizer_of(other).step(inputs, targets)
    assert same(module, other)


@pytest.mark.parametrize("inverse", CURVATURES)
def test_the_default_device_of_torch_does_not_matter(inverse):
    rule = "fixed" if inverse == "identity" else "search"
    module, other = mlp(), mlp()
    optimizers = [optimizer_of(m, inverse=inverse, gamma_rule=rule) for m in (module, other)]
    batches = [batch("categorical", step) for step in range(5)]
    for each in batches:
        optimizers[0].step(*each)
    with torch.device("meta"):
        for each in batches:
            optimizers[1].step(*each)
    assert same(module, other)


def test_the_generator_decides_the_sampled_targets():
    modules = [mlp() for _ in range(3)]
    for module, seed in zip(modules, (0, 0, 1), strict=True):
        generator = torch.Generator().manual_seed(seed)
        take_steps(optimizer_of(module, generator=generator), "categorical", 2)
    without = mlp()
    take_steps(optimizer_of(without), "categorical", 2)
    assert same(modules[0], modules[1])
    assert same(modules[0], without)
    assert not same(modules[0], modules[2])


# What users change between steps


def test_parameters_changed_between_steps_are_continued_from():
    """As by a projection: the engine with the same change of its parameters goes the same way."""
    module = mlp()
    optimizer, engine = optimizer_of(module), engine_of(module, "categorical")
    for step in range(6):
        given = batch("categorical", step)
        optimizer.step(*given)
        engine.step(*for_engine(*given))
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.mul_(0.5)
        engine.replace_parameters([w * 0.5 for w in engine.parameters])
        assert same(module, parts(engine))


def test_no_step_is_reverted_past_a_change():
    """The same jump of the objective, by a step or by the user."""
    module = mlp()
    optimizer = optimizer_of(module)
    take_steps(optimizer, "categorical", 3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(30.0)
    changed = values(module)
    inputs, targets = batch("categorical", 3)
    expected = torch_loss("categorical", module, inputs, targets)
    assert expected > 10
    assert optimizer.step(inputs, targets) == pytest.approx(expected, rel=1e-5)
    assert optimizer.record.outcome == "accepted"
    assert torch_loss("categorical", module, inputs, targets) < expected
    assert not same(module, changed)


def test_a_step_that_went_too_far_is_reverted_in_the_module():
    module = mlp()
    optimizer = optimizer_of(module)
    take_steps(optimizer, "categorical", 1)
    before = values(module)
    take_steps(optimizer, "categorical", 1, first=1)
    inputs, targets = batch("categorical", 2)
    optimizer.step(OVERFLOWING * inputs, targets)
    assert optimizer.record.outcome == "reverted"
    assert same(module, before)


def test_after_a_change_a_step_that_fails_leaves_the_change():
    module = mlp()
    optimizer = optimizer_of(module)
    take_steps(optimizer, "categorical", 2)
    with torch.no_grad():
        module[1].weight.zero_()
    changed = values(module)
    inputs, targets = batch("categorical", 2)
    optimizer.step(OVERFLOWING * inputs, targets)
    assert optimizer.record.outcome == "rejected"
    assert same(module, changed)


def test_options_are_changed_in_the_param_group():
    module, other = mlp(), mlp()
    optimizer, engine = optimizer_of(module), engine_of(other, "categorical")
    assert optimizer.param_groups[0]["l2"] == 1e-5
    take_steps(optimizer, "categorical", 3)
    for step in range(3):
        engine.step(*for_engine(*batch("categorical", step)))
    optimizer.param_groups[0].update(l2=0.1, momentum=False)
    changed = KFACOptions(**{**OPTIONS, "l2": 0.1, "momentum": False})
    state, engine = (
        engine.state_dict(),
        KFAC(engine.network, engine.parameters, changed, engine.generator),
    )
    engine.load_state_dict(state)
    take_steps(optimizer, "categorical", 3, first=3)
    for step in range(3, 6):
        engine.step(*for_engine(*batch("categorical", step)))
    assert same(module, parts(engine))
    assert optimizer.record.mu is None


# What torch's optimizers have


def test_hooks_of_steps_are_called():
    optimizer = optimizer_of(mlp())
    seen = []
    optimizer.register_step_pre_hook(lambda opt, args, kwargs: seen.append(("pre", opt.record)))
    optimizer.register_step_post_hook(lambda opt, args, kwargs: seen.append(("post", opt.record)))
    optimizer.step(*batch("categorical"))
    assert seen == [("pre", None), ("post", optimizer.record)]


def test_the_param_group_holds_the_modules_parameters():
    module = mlp()
    [group] = optimizer_of(module).param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in module.parameters()]


def test_a_copy_trains_its_own_module():
    module = mlp()
    optimizer = optimizer_of(module)
    take_steps(optimizer, "categorical", 3)
    copied_module, copied = copy.deepcopy((module, optimizer))
    take_steps(copied, "categorical", 3, first=3)
    assert not same(module, copied_module)
    take_steps(optimizer, "categorical", 3, first=3)
    assert same(module, copied_module)


# Inputs and targets


@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.uint8], ids=str)
def test_labels_equal_one_hot_rows(kind):
    modules = mlp(), mlp()
    inputs, labels = batch("categorical")
    rows = functional.one_hot(labels, OUTPUTS)
    losses = [
        optimizer_of(module).step(inputs, targets)
        for module, targets in zip(modules, (labels.to(kind), rows.float()), strict=True)
    ]
    assert losses[0] == losses[1]
    assert same(*modules)


@pytest.mark.parametrize("output", ["bernoulli", "gaussian"])
def test_targets_of_one_output_need_no_second_dimension(output):
    modules = mlp(outputs=1), mlp(outputs=1)
    inputs, targets = batch(output)
    column = targets[:, :1]
    for module, given in zip(modules, (column, column[:, 0]), strict=True):
        optimizer_of(module, output).step(inputs, given)
    assert same(*modules)


def test_float64_data_are_converted_to_the_modules_dtype():
    modules = mlp(), mlp()
    inputs, targets = batch("gaussian", dtype=torch.float64)
    optimizer_of(modules[0], "gaussian").step(inputs, targets)
    optimizer_of(modules[1], "gaussian").step(inputs.float(), targets.float())
    assert same(*modules)


def test_flatten_flattens_inputs_and_targets(monkeypatch):
    """And an autoencoder's targets remain its inputs, of which the engine keeps one copy."""
    seen = []

    def noted(self):
        seen.append(self.targets is self.inputs)
        check(self)

    check = MiniBatch.__post_init__
    monkeypatch.setattr(MiniBatch, "__post_init__", noted)
    torch.manual_seed(0)
    layers = nn.Linear(6, 2), nn.Tanh(), nn.Flatten(), nn.Linear(2, 6)
    plain = nn.Sequential(*copy.deepcopy(layers))
    module = nn.Sequential(nn.Identity(), nn.Flatten(), *layers)
    images = torch.rand(CASES, 2, 3, generator=torch.Generator().manual_seed(1))
    loss = optimizer_of(module, "bernoulli").step(images, images)
    assert seen[0]
    assert loss == optimizer_of(plain, "bernoulli").step(images.flatten(1), images.flatten(1))
    assert same(module, plain)


def test_a_function_of_the_output_is_part_of_the_loss():
    inputs, targets = batch("categorical")
    plain = mlp()
    optimizer_of(plain).step(inputs, targets)
    for function in (nn.Softmax(1), nn.LogSoftmax(-1)):
        module = mlp().append(function)
        optimizer_of(module).step(inputs, targets)
        assert same(module, plain)


def test_the_package_offers_it_by_name():
    assert kfac_cli.KFACOptimizer is KFACOptimizer
    assert "KFACOptimizer" in dir(kfac_cli)
    with pytest.raises(AttributeError, match="no attribute 'KFAK'"):
        kfac_cli.KFAK  # noqa: B018
