"""Initial parameters: Martens 2010, with Sutskever et al. 2013; Glorot 2010; He 2015."""

import math

import pytest
import torch

from kfac_cli.engine import (
    Network,
    glorot_initialization,
    he_initialization,
    initial_parameters,
    sparse_initialization,
)


def start(layer_sizes, activations, output="gaussian", seed=0, **options):
    network = Network(layer_sizes, activations, output)
    return sparse_initialization(network, torch.Generator().manual_seed(seed), **options)


@pytest.mark.parametrize("activation", ["logistic", "relu", "linear", "tanh"])
def test_every_unit_has_exactly_15_incoming_weights(activation):
    parameters = start((100, 40, 20, 15), (activation,) * 2)
    assert [w.shape for w in parameters] == [(40, 101), (20, 41), (15, 21)]
    for weights in parameters:
        assert weights[:, :-1].count_nonzero(dim=1).tolist() == [15] * len(weights)


def test_a_unit_with_fewer_inputs_is_connected_to_all_of_them():
    first, second = start((6, 15, 3), ("logistic",))
    assert first[:, :-1].count_nonzero(dim=1).tolist() == [6] * 15
    assert second[:, :-1].count_nonzero(dim=1).tolist() == [15] * 3


@pytest.mark.parametrize("connections", [1, 5])
def test_the_number_of_connections_is_an_option(connections):
    (weights,) = start((30, 10), (), connections=connections)
    assert weights[:, :-1].count_nonzero(dim=1).tolist() == [connections] * 10


@pytest.mark.parametrize("activation", ["logistic", "relu", "linear"])
def test_biases_are_zero(activation):
    for weights in start((20, 10, 5), (activation,)):
        assert not weights[:, -1].any()


def test_weights_are_standard_normal():
    """Mean, variance and fourth moment (which is not a uniform's) within 5 standard errors."""
    (weights,) = start((100, 2000), ())
    values = weights[:, :-1][weights[:, :-1] != 0]
    count = len(values)
    assert count == 2000 * 15
    assert abs(values.mean()) < 5 / math.sqrt(count)
    assert abs(values.square().mean() - 1) < 5 * math.sqrt(2 / count)
    assert abs(values.pow(4).mean() - 3) < 5 * math.sqrt(96 / count)


def test_positions_are_drawn_uniformly_and_independently_for_each_unit():
    """Each input is used by 15 % of 2000 units, within 5 standard errors."""
    (weights,) = start((100, 2000), ())
    used = weights[:, :-1] != 0
    frequency = used.double().mean(0)
    assert (frequency - 0.15).abs().max() < 5 * math.sqrt(0.15 * 0.85 / 2000)
    assert len({tuple(row.tolist()) for row in used}) == 2000


def test_the_same_seed_gives_the_same_parameters():
    first, again, other = (start((20, 10, 5), ("logistic",), seed=s) for s in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_tanh_units_have_weights_times_a_quarter_and_biases_of_a_half():
    """Layer by layer: it depends on the activation of the layer's own units, as published."""
    tanh = start((20, 10, 10, 5), ("tanh", "linear"))
    plain = start((20, 10, 10, 5), ("logistic", "linear"))
    torch.testing.assert_close(tanh[0][:, :-1], 0.25 * plain[0][:, :-1])
    assert tanh[0][:, -1].tolist() == [0.5] * 10
    for one, other in zip(tanh[1:], plain[1:], strict=True):
        assert torch.equal(one, other)


# Glorot and He


DENSE = pytest.mark.parametrize("initialize", [glorot_initialization, he_initialization])
SIZES = (300, 200, 120, 40)


def dense(initialize, activations=("logistic", "linear"), seed=0):
    network = Network(SIZES, activations, "gaussian")
    return initialize(network, torch.Generator().manual_seed(seed))


def moments(values):
    """The mean and the second and fourth moments."""
    return values.mean(), values.square().mean(), values.pow(4).mean()


def test_glorot_weights_are_uniform_within_the_bound_of_equation_16():
    """All within it, the largest at it; moments within 5 standard errors of a uniform's."""
    for weights in dense(glorot_initialization):
        units, fan_in = weights.shape[0], weights.shape[1] - 1
        bound = math.sqrt(6 / (fan_in + units))
        values = weights[:, :-1].flatten() / bound
        assert values.abs().max() <= 1
        assert values.max() > 1 - 10 / len(values)
        assert values.min() < -1 + 10 / len(values)
        mean, variance, fourth = moments(values)
        assert abs(mean) < 5 * math.sqrt(1 / 3 / len(values))
        assert abs(variance - 1 / 3) < 5 * math.sqrt((1 / 5 - 1 / 9) / len(values))
        assert abs(fourth - 1 / 5) < 5 * math.sqrt((1 / 9 - 1 / 25) / len(values))


def test_he_weights_are_normal_with_the_variance_of_equation_10():
    """Var w = 2 / fan-in; moments within 5 standard errors of a normal's."""
    for weights in dense(he_initialization, ("relu", "relu")):
        values = weights[:, :-1].flatten() / math.sqrt(2 / (weights.shape[1] - 1))
        mean, variance, fourth = moments(values)
        assert abs(mean) < 5 / math.sqrt(len(values))
        assert abs(variance - 1) < 5 * math.sqrt(2 / len(values))
        assert abs(fourth - 3) < 5 * math.sqrt(96 / len(values))


def test_he_keeps_the_mean_square_of_relu_layers_and_glorot_the_variance_of_linear_ones():
    """What each is for: over 10 layers of 500 units the second moment stays within a factor."""
    inputs = torch.randn(200, 500, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for initialize, activation in [(he_initialization, "relu"), (glorot_initialization, "linear")]:
        network = Network([500] * 11, [activation] * 9, "gaussian")
        parameters = initialize(network, torch.Generator().manual_seed(0))
        outputs = network.forward(parameters, inputs).logits
        gain = outputs.square().mean() / inputs.square().mean()
        expected = 2 if initialize is he_initialization else 1  # the inputs are not rectified
        assert expected / 2 < gain < 2 * expected


@DENSE
@pytest.mark.parametrize("activation", ["logistic", "tanh", "relu", "linear"])
def test_dense_weights_do_not_depend_on_the_activation_and_biases_are_zero(initialize, activation):
    found, other = dense(initialize, (activation,) * 2), dense(initialize)
    for weights, same, shape in zip(found, other, [(200, 301), (120, 201), (40, 121)], strict=True):
        assert weights.shape == shape
        assert weights.dtype == torch.float64
        assert torch.equal(weights, same)
        assert not weights[:, -1].any()
        assert weights[:, :-1].all()


@DENSE
def test_a_seed_gives_the_same_dense_parameters_again_and_another_seed_others(initialize):
    first, again, other = (dense(initialize, seed=s) for s in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    ("name", "initialize"),
    [
        ("sparse", sparse_initialization),
        ("glorot", glorot_initialization),
        ("he", he_initialization),
    ],
)
def test_each_is_chosen_by_its_name(name, initialize):
    network = Network((20, 10, 5), ("tanh",), "gaussian")
    found = initial_parameters(network, torch.Generator().manual_seed(0), name)
    expected = initialize(network, torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
