"""What KFACOptimizer cannot train is refused in one line that names the layer or the option."""

import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.optim import lr_scheduler
from torch.optim.swa_utils import SWALR

from kfac_cli import KFACOptimizer
from kfac_cli.engine.processes import Processes

from .helpers import OUTPUTS, batch, mlp, optimizer_of, same, take_steps, values


def between(*parts):
    """5-4-3 with parts between the layers."""
    return nn.Sequential(nn.Linear(5, 4), *parts, nn.Linear(4, 3))


def frozen(name):
    module = between(nn.Tanh())
    module.get_submodule("2").get_parameter(name).requires_grad_(False)
    return module


def tied(tie):
    module = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, 3))
    tie(module)
    return module


def same_parameter(module):
    module[2].weight = module[0].weight


def same_memory(module):
    module[2].bias.data = module[0].bias.data


def twice():
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.Tanh(), layer)


def pruned():
    module = between(nn.Tanh())
    prune.random_unstructured(module[2], "weight", amount=1)
    return module


def with_weight_norm():
    module = between(nn.Tanh())
    parametrizations.weight_norm(module[2])
    return module


def with_bias_of(**kind):
    module = between(nn.Tanh())
    module[0].bias.data = module[0].bias.data.to(**kind)
    return module


MODULES = {
    "convolution": (
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5, 3)),
        "layer 0 (Conv2d): not part of a plain MLP, made of Linear, Flatten, Identity, LogSoftmax, "
        "ReLU, Sigmoid, Softmax, Tanh",
    ),
    "dropout": (between(nn.Dropout()), "layer 1 (Dropout): not part of a plain MLP"),
    "batch norm": (
        between(nn.Sequential(nn.BatchNorm1d(4), nn.Tanh())),
        "layer 1.0 (BatchNorm1d): not part of a plain MLP",
    ),
    "unknown activation": (between(nn.GELU()), "layer 1 (GELU): not part of a plain MLP"),
    "no Sequential": (nn.Linear(5, 3), "module: must be a Sequential, not a Linear"),
    "no layer": (nn.Sequential(nn.Flatten()), "module: has no Linear layer"),
    "no bias": (
        nn.Sequential(nn.Linear(5, 4, bias=False), nn.Tanh(), nn.Linear(4, 3)),
        "layer 0 (Linear): has no bias, and needs one: bias=True",
    ),
    "frozen weight": (
        frozen("weight"),
        "layer 2 (Linear): its weight is frozen (requires_grad=False)",
    ),
    "frozen bias": (frozen("bias"), "layer 2 (Linear): its bias is frozen (requires_grad=False)"),
    "tied weights": (
        tied(same_parameter),
        "layer 2 (Linear): shares its weight with layer 0 (Linear); tied weights do not fit",
    ),
    "shared memory": (
        tied(same_memory),
        "layer 2 (Linear): shares its bias with layer 0 (Linear); tied weights do not fit",
    ),
    "a layer twice": (
        twice(),
        "layer 2 (Linear): shares its weight with layer 0 (Linear); tied weights do not fit",
    ),
    "pruned": (
        pruned(),
        "layer 2 (Linear): its weight is computed from weight_orig, not trained",
    ),
    "weight norm": (with_weight_norm(), "layer 2 (ParametrizedLinear): not part of a plain MLP"),
    "mixed dtypes": (
        nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3).double()),
        "layer 2 (Linear): is torch.float64 on cpu, but layer 0 (Linear) is torch.float32 on cpu",
    ),
    "mixed devices": (
        nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3, device="meta")),
        "layer 2 (Linear): is torch.float32 on meta, but layer 0 (Linear) is torch.float32 on cpu",
    ),
    "bias of another dtype": (
        with_bias_of(dtype=torch.float64),
        "layer 0 (Linear): its bias is torch.float64 on cpu, but its weight is torch.float32 on "
        "cpu",
    ),
    "half precision": (
        between(nn.Tanh()).to(torch.bfloat16),
        "layer 0 (Linear): is torch.bfloat16 on cpu; must be float32 or float64 on cpu or cuda",
    ),
    "another device": (
        between(nn.Tanh()).to("meta"),
        "layer 0 (Linear): is torch.float32 on meta; must be float32 or float64 on cpu or cuda",
    ),
    "activation at the end": (
        between(nn.Tanh()).append(nn.ReLU()),
        "layer 3 (ReLU): follows the last Linear, but does not turn natural parameters into the "
        "mean of a categorical output",
    ),
    "another output's function": (
        between(nn.Tanh()).append(nn.Sigmoid()),
        "layer 3 (Sigmoid): follows the last Linear, but does not turn",
    ),
    "softmax over cases": (
        between(nn.Tanh()).append(nn.LogSoftmax(0)),
        "layer 3 (LogSoftmax): follows the last Linear, but does not turn",
    ),
    "softmax inside": (
        between(nn.LogSoftmax(1)),
        "layer 1 (LogSoftmax): can only follow the last Linear",
    ),
    "partial flatten": (
        nn.Sequential(nn.Flatten(2), nn.Linear(5, 3)),
        "layer 0 (Flatten): must flatten all dimensions but the first: Flatten()",
    ),
    "widths": (
        nn.Sequential(nn.Linear(5, 4), nn.Linear(3, 3)),
        "layer 1 (Linear): takes 3 inputs, but layer 0 (Linear) gives 4",
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_that_does_not_fit_is_refused_by_its_layer(name):
    module, message = MODULES[name]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}") as caught:
        KFACOptimizer(module, output="categorical")
    assert "\n" not in str(caught.value)


def test_an_activation_may_serve_several_layers():
    """Unlike a layer with weights; named_children would leave out its second use."""
    torch.manual_seed(0)
    tanh = nn.Tanh()
    shared = nn.Sequential(nn.Linear(5, 4), tanh, nn.Linear(4, 4), tanh, nn.Linear(4, 3))
    own = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3))
    own.load_state_dict(shared.state_dict())
    for module in (shared, own):
        take_steps(optimizer_of(module), "categorical", 2)
    assert same(shared, own)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentun": True}, "momentun=true: no such option"),
        ({"tau1": 2}, "tau1=2: must be a number in (0, 1]"),
        ({"inverse": "diagonal"}, "inverse=diagonal: must be block_tridiagonal, block_diagonal, "),
        ({"l2": "0"}, "l2=0: must be a number in [0, 1000]"),
        ({"t2": 30}, "t2=30: must be a multiple of t3, which is 20"),
        (
            {"output": "poisson"},
            "output='poisson': must be one of bernoulli, gaussian",
        ),
        ({"generator": 0}, "generator: must be one on the CPU, such as torch.Generator()"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_the_engines_line(options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        KFACOptimizer(mlp(), **{"output": "categorical", **options})


# Between steps


def freeze(module):
    module[1].weight.requires_grad_(False)


def replace(module):
    module[1] = nn.Linear(4, 4)


def add(module):
    module.append(nn.Linear(OUTPUTS, OUTPUTS))


def to_double(module):
    module.double()


def other_activation(module):
    module[2] = nn.Tanh()


def remove(module):
    del module[3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (freeze, "layer 1 (Linear): its weight is frozen"),
        (replace, "layer 1 (Linear): was added or replaced since the optimizer was made"),
        (add, "layer 4 (Linear): was added or replaced since the optimizer was made"),
        (
            to_double,
            "layer 0.0 (Linear): has changed from torch.float32 on cpu to torch.float64 on cpu",
        ),
        (other_activation, "module: other activations since the optimizer was made"),
        (remove, "layer 2 (ReLU): follows the last Linear, but does not turn natural parameters"),
    ],
)
def test_a_module_that_changed_more_than_its_values_is_refused(change, message):
    module = mlp()
    optimizer = optimizer_of(module)
    take_steps(optimizer, "categorical", 1)
    change(module)
    before = values(module)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        optimizer.step(*batch("categorical"))
    assert same(module, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"inverse": "block_diagonal"},
            "inverse=block_diagonal: was block_tridiagonal, and what K-FAC has learnt does not fit",
        ),
        ({"tikhonov": "exact", "inverse": "block_diagonal"}, "inverse=block_diagonal: was "),
        ({"l2_product": "refreshed", "inverse": "block_diagonal"}, "inverse=block_diagonal: was "),
        (
            {"lambda_initial": 150.0},
            "lambda_initial=150.0: was auto, from which K-FAC has begun; make a new optimizer",
        ),
        ({"gamma_initial": 0.5}, "gamma_initial=0.5: was null, from which K-FAC has begun"),
        ({"l2": -1}, "l2=-1: must be a number in [0, 1000]"),
        ({"momentun": False}, "momentun=false: no such option"),
    ],
)
def test_options_that_cannot_be_changed_are_refused(change, message):
    module = mlp()
    optimizer = optimizer_of(module)
    take_steps(optimizer, "categorical", 1)
    optimizer.param_groups[0].update(change)
    before = values(module)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        optimizer.step(*batch("categorical"))
    assert same(module, before)


@pytest.mark.parametrize(
    "change", [{"lambda_initial": 3.0}, {"gamma_initial": 0.5}, {"inverse": "block_diagonal"}]
)
def test_before_the_first_step_every_option_can_be_changed(change):
    """As if the optimizer had been made with it."""
    module, other = mlp(), mlp()
    optimizer = optimizer_of(module)
    optimizer.param_groups[0].update(change)
    take_steps(optimizer, "categorical", 3)
    take_steps(optimizer_of(other, **change), "categorical", 3)
    assert same(module, other)


def test_several_processes_are_refused(monkeypatch):
    """They would exchange nothing."""
    monkeypatch.setattr(Processes, "here", classmethod(lambda cls: cls(1, 2)))
    with pytest.raises(ValueError, match=r"^KFACOptimizer: trains in one process, and here are 2"):
        optimizer_of(mlp())


def test_there_is_one_param_group():
    optimizer = optimizer_of(mlp())
    with pytest.raises(ValueError, match=r"^add_param_group: K-FAC trains one module"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(2))]})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize(
    "schedule",
    [
        lambda optimizer: lr_scheduler.StepLR(optimizer, 1),
        lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 10),
        lr_scheduler.ReduceLROnPlateau,
        lambda optimizer: lr_scheduler.CyclicLR(optimizer, 0.1, 1.0, cycle_momentum=False),
        lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.1, 10),
        lambda optimizer: SWALR(optimizer, 0.05),
    ],
    ids=["StepLR", "CosineAnnealingLR", "ReduceLROnPlateau", "CyclicLR", "OneCycleLR", "SWALR"],
)
def test_a_learning_rate_scheduler_is_refused_and_changes_nothing(schedule, loaded):
    optimizer = optimizer_of(mlp())
    if loaded:
        optimizer.load_state_dict(optimizer.state_dict())
    before = dict(optimizer.param_groups[0])
    with pytest.raises(
        ValueError, match=r"^[a-z_]*lr: K-FAC computes its step size, so that there is none"
    ):
        schedule(optimizer)
    assert dict(optimizer.param_groups[0]) == before
    take_steps(optimizer, "categorical", 1)


# Inputs and targets

INPUTS, LABELS = batch("categorical")


@pytest.mark.parametrize(
    ("output", "inputs", "targets", "message"),
    [
        (
            "categorical",
            np.zeros((24, 5)),
            LABELS,
            "inputs: must be a tensor, as torch.as_tensor makes it, not a ndarray",
        ),
        (
            "categorical",
            INPUTS,
            LABELS.tolist(),
            "targets: must be a tensor, as torch.as_tensor makes it, not a list",
        ),
        (
            "categorical",
            INPUTS,
            LABELS.float(),
            "targets of dtype torch.float32: class labels must be integers, .long()",
        ),
        (
            "categorical",
            INPUTS,
            LABELS > 0,
            "targets of dtype torch.bool: class labels must be integers, .long()",
        ),
        ("categorical", INPUTS, LABELS + 1, "targets: the label 3 is none of the classes 0 to 2"),
        ("categorical", INPUTS, LABELS - 1, "targets: the label -1 is none of the classes 0 to 2"),
        (
            "categorical",
            INPUTS,
            LABELS[:, None],
            "targets of shape (24, 1): expected (cases, 3)",
        ),
        ("categorical", INPUTS, LABELS[1:], "a mini-batch needs as many targets as inputs"),
        ("categorical", INPUTS[:, 1:], LABELS, "inputs of shape (24, 4): expected (cases, 5)"),
        ("categorical", INPUTS[:, None], LABELS, "inputs of shape (24, 1, 5): expected (cases, 5)"),
        (
            "categorical",
            INPUTS[:0],
            LABELS[:0],
            "a mini-batch needs as many targets as inputs, and",
        ),
        ("gaussian", INPUTS, LABELS.float(), "targets of shape (24,): expected (cases, 3)"),
        (
            "gaussian",
            INPUTS.to(torch.complex64),
            INPUTS[:, :3],
            "inputs of dtype torch.complex64: expected real numbers",
        ),
        (
            "bernoulli",
            INPUTS,
            2 * torch.ones(24, 3),
            "targets from 2 to 2: a bernoulli output has them in [0, 1]",
        ),
        (
            "bernoulli",
            INPUTS,
            torch.tensor([-1.0, 0.0, 1.0]).expand(24, 3),
            "targets from -1 to 1: a bernoulli output has them in [0, 1]",
        ),
        (
            "bernoulli",
            INPUTS,
            torch.full((24, 3), torch.nan),
            "targets: has values that are not finite; leave these cases out",
        ),
        (
            "gaussian",
            INPUTS.where(INPUTS[3, 1] != INPUTS, torch.inf),
            INPUTS[:, :3],
            "inputs: has values that are not finite; leave these cases out",
        ),
        (
            "categorical",
            INPUTS,
            -torch.ones(24, 3),
            "targets from -1 to -1: a categorical output has them in [0, 1]",
        ),
        (
            "categorical",
            INPUTS,
            torch.full((24, 3), 0.5),
            "targets: a row sums to 1.5; a categorical output has probabilities",
        ),
        (
            "bernoulli",
            INPUTS,
            torch.ones(24, 3, dtype=torch.uint16),
            "targets of dtype torch.uint16: convert them, such as with .float()",
        ),
        (
            "gaussian",
            INPUTS.to(torch.float8_e5m2),
            INPUTS[:, :3],
            "inputs of dtype torch.float8_e5m2: convert them, such as with .float()",
        ),
    ],
)
def test_a_mini_batch_that_does_not_fit_is_refused(output, inputs, targets, message):
    module, other = mlp(), mlp()
    optimizer, without = optimizer_of(module, output), optimizer_of(other, output)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        optimizer.step(inputs, targets)
    assert optimizer.record is None
    for each in (optimizer, without):
        take_steps(each, output, 2)
    assert same(module, other)


def test_a_learning_rate_as_for_other_optimizers_of_torch_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"^lr: .*rescaling=False, momentum=False, learning_rate="):
        optimizer_of(mlp(), lr=0.1)
