"""Conversion of networks to torch.nn.Sequential and back, and from a run's parameters.pt."""

import math
import re

import pytest
import torch
from torch import nn

from kfac_cli.engine import (
    KFAC,
    KFACOptions,
    NesterovOptions,
    NesterovSGD,
    Network,
    PolyakAverage,
    evaluate,
)
from kfac_cli.errors import UserError
from kfac_cli.parameters_file import CHOICES, read_parameters, save_parameters
from kfac_cli.run.evaluation import measured_errors
from kfac_cli.run.session import Session
from kfac_cli.torch_module import from_sequential, load_network, to_sequential

NETWORKS = [
    Network((4, 3, 2, 5), (first, second), output)
    for first, second in [("logistic", "linear"), ("tanh", "relu")]
    for output in ("bernoulli", "gaussian", "categorical")
] + [Network((3, 2), (), "bernoulli"), Network((1, 1, 1), ("tanh",), "gaussian")]
EVERY = pytest.mark.parametrize(
    "network", NETWORKS, ids=lambda n: f"{n.layer_sizes}-{n.activations}-{n.output}"
)
EACH_DTYPE = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def random_parameters(network, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(shape, generator=generator, dtype=dtype) for shape in network.parameter_shapes
    ]


def random_inputs(width, dtype=torch.float64):
    return torch.randn(7, width, generator=torch.Generator().manual_seed(1), dtype=dtype)


def assert_equal(parameters, expected):
    assert len(parameters) == len(expected)
    assert all(torch.equal(p, e) for p, e in zip(parameters, expected, strict=True))


# --- out -----------------------------------------------------------------------------------------


@EVERY
@EACH_DTYPE
def test_the_module_computes_the_natural_parameters(network, dtype):
    parameters, inputs = (
        random_parameters(network, dtype),
        random_inputs(network.layer_sizes[0], dtype),
    )
    output = to_sequential(network, parameters)(inputs)
    assert output.dtype == dtype
    torch.testing.assert_close(output.detach(), network.forward(parameters, inputs).logits)


@EVERY
def test_with_the_output_activation_it_computes_the_prediction(network):
    parameters, inputs = random_parameters(network), random_inputs(network.layer_sizes[0])
    module = to_sequential(network, parameters, output_activation=True)
    expected = network.distribution.mean(network.forward(parameters, inputs).logits)
    torch.testing.assert_close(module(inputs).detach(), expected)


def test_the_module_has_the_usual_form():
    """So its state_dict has the usual keys, and loads into a module built by hand."""
    network = Network((4, 3, 2, 5), ("logistic", "linear"), "bernoulli")
    parameters = random_parameters(network)
    module = to_sequential(network, parameters)
    assert [type(m) for m in module] == [nn.Linear, nn.Sigmoid, nn.Linear, nn.Identity, nn.Linear]
    state = module.state_dict()
    assert list(state) == ["0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias"]
    assert torch.equal(state["2.weight"], parameters[1][:, :-1])
    assert torch.equal(state["2.bias"], parameters[1][:, -1])
    by_hand = nn.Sequential(
        nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2), nn.Identity(), nn.Linear(2, 5)
    ).double()
    by_hand.load_state_dict(state)
    inputs = random_inputs(4)
    assert torch.equal(by_hand(inputs), module(inputs))


def test_it_can_be_trained_and_leaves_the_parameters_alone():
    network = Network((2, 1, 2), ("tanh",), "gaussian")
    parameters = random_parameters(network)
    before = [p.clone() for p in parameters]
    module = to_sequential(network, parameters)
    module(random_inputs(2)).square().sum().backward()
    torch.optim.SGD(module.parameters(), lr=1.0).step()
    assert not torch.equal(module[0].weight, before[0][:, :-1])
    assert_equal(parameters, before)


def test_no_random_numbers_are_drawn():
    network = NETWORKS[0]
    state = torch.random.get_rng_state()
    to_sequential(network, random_parameters(network))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("change", [lambda p: p[:-1], lambda p: [p[0].T, *p[1:]]])
def test_parameters_of_another_network_are_refused(change):
    network = NETWORKS[0]
    with pytest.raises(ValueError, match=re.escape("the network has [(3, 5), (2, 4), (5, 3)]")):
        to_sequential(network, change(random_parameters(network)))


# --- in ------------------------------------------------------------------------------------------


@EVERY
@EACH_DTYPE
@pytest.mark.parametrize("output_activation", [False, True])
def test_out_and_in_again_changes_nothing(network, dtype, output_activation):
    parameters = random_parameters(network, dtype)
    module = to_sequential(network, parameters, output_activation)
    returned, weights = from_sequential(module, network.output)
    assert_equal(weights, parameters)
    assert all(w.dtype == dtype and not w.requires_grad for w in weights)
    for attribute in ("layer_sizes", "activations", "output"):
        assert getattr(returned, attribute) == getattr(network, attribute)


def test_a_users_mlp_enters_as_the_same_function():
    """Nested parts, a missing activation function, in-place ones, no bias in one layer."""
    encoder = nn.Sequential(nn.Linear(4, 3), nn.ReLU(inplace=True), nn.Linear(3, 2))
    decoder = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Tanh(), nn.Linear(3, 4), nn.Sigmoid())
    module = nn.Sequential(encoder, nn.Identity(), decoder).double()
    network, parameters = from_sequential(module, "bernoulli")
    assert network.layer_sizes == (4, 3, 2, 3, 4)
    assert network.activations == ("relu", "linear", "tanh")
    assert not parameters[2][:, -1].any()
    inputs = random_inputs(4)
    mean = network.distribution.mean(network.forward(parameters, inputs).logits)
    torch.testing.assert_close(mean, module(inputs).detach())


def test_a_module_that_serves_two_layers_and_flatten_enter_as_the_same_function():
    tanh = nn.Tanh()
    module = nn.Sequential(nn.Flatten(), linear(4, 3), tanh, nn.Flatten(), linear(3, 3), tanh)
    module.append(linear(3, 2))
    network, parameters = from_sequential(module, "gaussian")
    assert network.activations == ("tanh", "tanh")
    inputs = random_inputs(4)
    logits = network.forward(parameters, inputs).logits
    torch.testing.assert_close(logits, module(inputs.reshape(-1, 2, 2)).detach())


def test_what_enters_is_a_copy_that_the_engine_can_train():
    module = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    network, parameters = from_sequential(module, "gaussian")
    inputs, targets = random_inputs(4), random_inputs(2)
    optimizer = KFAC(network, parameters, KFACOptions(), torch.Generator().manual_seed(0))
    for _ in range(5):
        optimizer.step(inputs, targets)
    start, end = (
        evaluate(network, p, inputs, targets, 100).loss for p in (parameters, optimizer.parameters)
    )
    assert end < start
    parameters[0].zero_()
    assert all(torch.equal(module.state_dict()[name], tensor) for name, tensor in before.items())


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, dtype=torch.float64)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(), "no Linear layer"),
        (nn.Sequential(nn.Identity()), "no Linear layer"),
        (linear(3, 2), "must be a Sequential, not a Linear"),
        (nn.ModuleList([linear(3, 2)]), "must be a Sequential, not a ModuleList"),
        (nn.Sequential(nn.Conv2d(1, 2, 3)), "layer 0 (Conv2d): not part of a plain MLP"),
        (
            nn.Sequential(linear(3, 2), nn.Dropout(), linear(2, 2)),
            "layer 1 (Dropout): not part of a plain MLP",
        ),
        (
            nn.Sequential(linear(3, 2), nn.Sequential(nn.Tanh(), nn.LayerNorm(2))),
            "layer 1.1 (LayerNorm): not part of a plain MLP",
        ),
        (nn.Sequential(nn.Tanh(), linear(3, 2)), "layer 0 (Tanh): comes before the first Linear"),
        (
            nn.Sequential(linear(3, 2), nn.Tanh(), nn.ReLU(), linear(2, 2)),
            "layer 2 (ReLU): a second activation function after that of layer 0 (Linear)",
        ),
        (
            nn.Sequential(linear(3, 2), nn.Tanh(), linear(3, 2)),
            "layer 2 (Linear): takes 3 inputs, but layer 0 (Linear) gives 2",
        ),
        (
            nn.Sequential(linear(3, 2), nn.Softmax(1), linear(2, 2)),
            "layer 1 (Softmax): can only follow the last Linear",
        ),
        (
            nn.Sequential(linear(3, 2), nn.Tanh(), nn.Linear(2, 2)),
            "layer 2 (Linear): is torch.float32 on cpu, but layer 0 (Linear) is torch.float64",
        ),
        (
            nn.Sequential(linear(3, 2), nn.Tanh()),
            "layer 1 (Tanh): follows the last Linear, but does not turn natural parameters into "
            "the mean of a gaussian output",
        ),
        (nn.Sequential(linear(3, 2), nn.Sigmoid()), "the mean of a gaussian output"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_plain_mlp_is_refused_by_the_layers_name(module, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        from_sequential(module, "gaussian")


@pytest.mark.parametrize(
    ("function", "output", "fits"),
    [
        (nn.Sigmoid(), "bernoulli", True),
        (nn.Sigmoid(), "categorical", False),
        (nn.Softmax(1), "categorical", True),
        (nn.Softmax(-1), "categorical", True),
        (nn.Softmax(0), "categorical", False),
        (nn.Softmax(1), "bernoulli", False),
        (nn.Identity(), "gaussian", True),
        (nn.Identity(), "bernoulli", True),
        (nn.ReLU(), "bernoulli", False),
    ],
    ids=str,
)
def test_only_the_outputs_own_mean_may_follow_the_last_layer(function, output, fits):
    module = nn.Sequential(linear(3, 2), function)
    if fits:
        network, parameters = from_sequential(module, output)
        assert (network.layer_sizes, network.activations, len(parameters)) == ((3, 2), (), 1)
    else:
        with pytest.raises(ValueError, match="layer 1 "):
            from_sequential(module, output)


def test_an_unknown_output_is_refused():
    with pytest.raises(ValueError, match=r"output='poisson'.*bernoulli, gaussian, categorical"):
        from_sequential(nn.Sequential(linear(3, 2)), "poisson")


# --- from a file ---------------------------------------------------------------------------------


@pytest.fixture
def session():
    """Two steps of a small network, so that iterate and average differ."""
    network = Network((4, 3, 2), ("tanh",), "bernoulli")
    options = NesterovOptions(learning_rate=0.1)
    optimizer = NesterovSGD(network, random_parameters(network), options)
    average = PolyakAverage(0.5)
    nothing = dict.fromkeys(["schedule", "batches", "dataset", "training"])
    return Session(network=network, optimizer=optimizer, average=average, **nothing)


def save(path, session):
    kinds = {
        "iterate": session.optimizer.parameters,
        "average": session.average.parameters,
        "best": session.best.parameters,
    }
    errors = measured_errors(session, None)
    save_parameters(path, session.network, session.iteration, kinds, errors)


@pytest.fixture
def file(session, tmp_path):
    targets = (random_inputs(2) > 0).double()
    for _ in range(2):
        session.optimizer.step(random_inputs(4), targets)
        session.average.update(session.iteration, session.optimizer.parameters)
        session.include_evaluation(
            {"iteration": session.iteration, "train_error": float(session.iteration)}
        )
    path = tmp_path / "parameters.pt"
    save(path, session)
    return path


def test_a_run_leaves_its_network_as_a_module(file, session):
    inputs = random_inputs(4)
    saved = {
        "average": session.average.parameters,
        "iterate": session.optimizer.parameters,
        "best": session.best.parameters,
    }
    for choice, parameters in saved.items():
        logits = session.network.forward(parameters, inputs).logits
        module = load_network(file, choice)
        torch.testing.assert_close(module(inputs).detach(), logits)
        module = load_network(str(file), choice, output_activation=True)
        torch.testing.assert_close(module(inputs).detach(), torch.sigmoid(logits))
    first = {choice: load_network(file, choice)[0].weight for choice in saved}
    assert torch.equal(load_network(file)[0].weight, first["best"])
    assert len({tuple(weight.flatten().tolist()) for weight in first.values()}) == 3


def test_its_network_and_parameters_can_be_read_too(file, session):
    network, parameters = read_parameters(file, "iterate")
    assert_equal(parameters, session.optimizer.parameters)
    assert (network.layer_sizes, network.activations) == ((4, 3, 2), ("tanh",))
    assert network.output == "bernoulli"


def test_an_unknown_choice_is_refused(file):
    with pytest.raises(ValueError, match="choice='last': must be one of best, average, iterate"):
        load_network(file, "last")


def test_a_run_without_iterations_has_no_average(session, tmp_path):
    path = tmp_path / "parameters.pt"
    save(path, session)
    load_network(path, "iterate")
    with pytest.raises(UserError, match="no average parameters: the run ended before its first"):
        load_network(path, "average")


def test_a_run_without_an_evaluation_has_no_best_parameters(session, tmp_path):
    path = tmp_path / "parameters.pt"
    save(path, session)
    with pytest.raises(UserError, match=r"no best parameters: .*; choose average or iterate"):
        load_network(path)


def test_a_file_of_an_earlier_version_has_the_others(file):
    contents = torch.load(file, weights_only=True)
    del contents["best"], contents["errors"]
    torch.save(contents, file)
    load_network(file, "average")
    with pytest.raises(UserError, match="or an earlier version of kfac-run wrote them"):
        load_network(file)


def test_the_best_parameters_take_no_space_where_they_are_the_last(file, session):
    with_best = file.stat().st_size
    session.best.parameters = session.optimizer.parameters
    save(file, session)
    size = sum(w.nbytes for w in session.optimizer.parameters)
    assert with_best - file.stat().st_size >= size


@pytest.mark.parametrize(
    "contents", [b"", b"not a file of torch", "truncated", [1.0], {"weights": [torch.ones(2)]}]
)
def test_any_other_file_is_refused_by_name(file, contents):
    if contents == "truncated":
        contents = file.read_bytes()[:-200]
    if isinstance(contents, bytes):
        file.write_bytes(contents)
    else:
        torch.save(contents, file)
    with pytest.raises(UserError, match=r"parameters\.pt: is not a parameters\.pt that kfac-run"):
        load_network(file)


@pytest.mark.parametrize(
    "change",
    [
        {"layer_sizes": None},
        {"layer_sizes": [3, -1]},
        {"layer_sizes": ["3", "2"]},
        {"activations": 3},
        {"activations": ["nosuch"] * 9},
        {"output": []},
        {"output": "nosuch"},
        {"best": [torch.zeros(3, 5), torch.zeros(2, 4, dtype=torch.int64)]},
        {"best": [torch.zeros(3, 5), torch.zeros(2, 4)]},
        {"iteration": -1},
        {"iteration": math.nan},
        {"errors": {}},
        {"errors": {"best": 3}},
    ],
    ids=str,
)
def test_a_forged_value_is_refused_in_one_line(file, change):
    check_refused(file, change, "best")


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize(
    "forged", [3, [1, 2], [torch.zeros(2, 2)], {"a": torch.zeros(2, 2)}, "text"], ids=repr
)
def test_forged_parameters_are_refused_in_one_line(file, choice, forged):
    """Whichever parameters are asked for."""
    for asked in CHOICES:
        check_refused(file, {CHOICES[choice]: forged}, asked)


def check_refused(file, change, choice):
    torch.save({**torch.load(file, weights_only=True), **change}, file)
    with pytest.raises(UserError) as caught:
        load_network(file, choice)
    assert str(caught.value).startswith(f"{file}: is no usable parameters.pt: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"absent\.pt: cannot be read \(No such file or directory"):
        load_network(tmp_path / "absent.pt")
