"""Polyak averaging: the iterate itself up to `start`, an exponential average afterwards."""

import pytest
import torch

from kfac_cli.engine import PolyakAverage


def iterates(count):
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 2), (2, 4)]
    return [
        [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
        for _ in range(count)
    ]


def averages(decay, start, path):
    average = PolyakAverage(decay, start)
    for iteration, parameters in enumerate(path, start=1):
        average.update(iteration, parameters)
        yield [matrix.clone() for matrix in average.parameters]


def test_up_to_its_start_the_average_is_the_iterate():
    path = iterates(4)
    for actual, iterate in zip(averages(0.9, 4, path), path, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(actual, iterate, strict=True))


@pytest.mark.parametrize("start", [1, 2, 5])
@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_afterwards_old_iterates_decay_exponentially(decay, start):
    """average <- xi average + (1 - xi) iterate, from the iterate at `start`."""
    path = iterates(8)
    actual = list(averages(decay, start, path))
    for iteration in range(start, 9):
        later = path[start:iteration]
        weights = [decay ** (len(later) - i) * (1 - decay) for i in range(1, len(later) + 1)]
        for layer, result in enumerate(actual[iteration - 1]):
            expected = decay ** len(later) * path[start - 1][layer]
            expected = expected + sum(w * p[layer] for w, p in zip(weights, later, strict=True))
            torch.testing.assert_close(result, expected)


def test_with_start_0_averaging_starts_from_the_first_iterate():
    path = iterates(2)
    first, second = averages(0.75, 0, path)
    torch.testing.assert_close(first, path[0])
    torch.testing.assert_close(second, [0.75 * a + 0.25 * b for a, b in zip(*path, strict=True)])


def test_it_does_not_modify_the_iterates():
    path = iterates(4)
    before = [[matrix.clone() for matrix in parameters] for parameters in path]
    list(averages(0.9, 1, path))
    for now, then in zip(path, before, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(now, then, strict=True))


def test_it_resumes_exactly_from_a_saved_state():
    path = iterates(6)
    uninterrupted = list(averages(0.9, 2, path))[-1]
    first = PolyakAverage(0.9, 2)
    for iteration in (1, 2, 3, 4):
        first.update(iteration, path[iteration - 1])
    second = PolyakAverage(0.9, 2)
    second.load_state_dict(first.state_dict())
    for iteration in (5, 6):
        second.update(iteration, path[iteration - 1])
    assert all(torch.equal(a, b) for a, b in zip(second.parameters, uninterrupted, strict=True))


@pytest.mark.parametrize("start", [0, 2, 9])
@pytest.mark.parametrize("resumed", [False, True])
def test_the_latest_update_can_be_undone(start, resumed):
    path = iterates(5)
    average, without = PolyakAverage(0.9, start), PolyakAverage(0.9, start)
    for iteration, iterate in enumerate(path, start=1):
        average.update(iteration, iterate)
        if iteration < 5:
            without.update(iteration, iterate)
    if resumed:
        state = average.state_dict()
        average = PolyakAverage(0.9, start)
        average.load_state_dict(state)
    average.undo()
    assert all(map(torch.equal, average.parameters, without.parameters))


@pytest.mark.parametrize("decay", [-0.1, 1.0, 1.5])
def test_a_decay_outside_its_range_is_refused(decay):
    with pytest.raises(ValueError, match="decay"):
        PolyakAverage(decay, 0)
