"""Factorisations side by side: the same bits whatever the number of threads (section 8)."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
import torch

from engine import oracles
from engine.oracles import every_architecture, problem
from kfac_cli.engine import BlockDiagonalInverse, BlockTridiagonalInverse, KroneckerFactors
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.parallel import side_by_side

MATRICES = [torch.full((size, size), float(size)) for size in (3, 9, 1, 5)]


def itself(matrix):
    return matrix


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def default_of_new_threads():
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def test_results_are_in_the_order_of_the_items(threads):
    assert side_by_side(lambda m: len(m), MATRICES, itself) == [3, 9, 1, 5]
    assert side_by_side(lambda m: len(m), [], itself) == []


def test_every_item_is_worked_on_with_one_thread_and_the_threads_are_as_before(threads):
    assert set(side_by_side(lambda _: torch.get_num_threads(), MATRICES, itself)) == {1}
    assert torch.get_num_threads() == threads
    assert default_of_new_threads() == threads


def test_as_many_items_at_a_time_as_torch_has_threads(threads):
    """None of the first few ends before all of them have begun."""
    barrier = threading.Barrier(threads)
    side_by_side(lambda _: barrier.wait(timeout=60), [*MATRICES, *MATRICES, *MATRICES], itself)


def test_the_first_item_that_fails_raises_its_error_and_the_threads_are_as_before(threads):
    def fail(matrix):
        if len(matrix) in (9, 5):
            raise ArithmeticError(len(matrix))

    with pytest.raises(ArithmeticError, match="9"):
        side_by_side(fail, MATRICES, itself)
    assert torch.get_num_threads() == threads
    assert default_of_new_threads() == threads


# --- in the inverses -----------------------------------------------------------------------------


def wide_factors(dtype):
    """Of layers wide enough for the libraries to use several threads."""
    generator = torch.Generator().manual_seed(0)
    cases, sizes = 400, (150, 200, 90, 160)
    units = [torch.rand(cases, size, generator=generator, dtype=dtype) for size in sizes]
    deltas = [torch.randn(cases, size, generator=generator, dtype=dtype) for size in sizes]
    return KroneckerFactors(
        [a.T @ a / cases for a in units],
        [g.T @ g / cases for g in deltas],
        [a.T @ b / cases for a, b in pairwise(units)],
        [g.T @ h / cases for g, h in pairwise(deltas)],
    )


def tensors(state):
    if isinstance(state, torch.Tensor):
        yield state
    elif isinstance(state, dict | list):
        for each in state.values() if isinstance(state, dict) else state:
            yield from tensors(each)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "make",
    [
        BlockDiagonalInverse,
        BlockTridiagonalInverse,
        lambda *given: BlockTridiagonalInverse(*given, sigma_solver="doubling"),
    ],
    ids=["block-diagonal", "block-tridiagonal", "doubling"],
)
def test_an_inverse_has_the_same_bits_for_every_number_of_threads(make, dtype):
    factors, before = wide_factors(dtype), torch.get_num_threads()
    states = []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            states.append(list(tensors(make(factors, 0.05).state_dict())))
    finally:
        torch.set_num_threads(before)
    for other in states[1:]:
        assert all(torch.equal(a, b) for a, b in zip(states[0], other, strict=True))


def test_fallbacks_are_counted_alike_for_every_number_of_threads(threads):
    """Clipped factors, doublings that do not converge, and clipped sums.

    γ is so small that no coupling converges, and so large that one factor is clipped, the
    indefinite one.
    """
    architecture, fallbacks = every_architecture()[0], Fallbacks()
    factors = oracles.tridiagonal(
        oracles.statistics(*problem(architecture, cases=1)), KroneckerFactors
    )
    indefinite = factors.gradient[0]
    indefinite -= torch.linalg.eigvalsh(indefinite).mean() * torch.eye(len(indefinite)).double()
    BlockTridiagonalInverse(factors, 1e-13, sigma_solver="doubling", fallbacks=fallbacks)
    assert fallbacks == Fallbacks(1, 2, 2)
