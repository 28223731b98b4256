"""Sparse initialisation: Martens 2010; Sutskever et al. 2013 for tanh units."""

import math

import pytest
import torch

from kfac_cli.engine import Network, sparse_initialization


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
