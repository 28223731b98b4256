"""On a GPU: the inverses and what is done there side by side, against the CPU's."""

import pytest
import torch
from engine import oracles
from engine.curvature.test_parallel import wide_factors

from kfac_cli.engine import BlockDiagonalInverse, BlockTridiagonalInverse, KroneckerFactors
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.parallel import side_by_side
from kfac_cli.engine.curvature.stein import DoublingCoupling

pytestmark = pytest.mark.gpu


def on_gpu(factors):
    return KroneckerFactors(*([t.cuda() for t in tensors] for tensors in vars(factors).values()))


def some_vectors(factors):
    generator = torch.Generator().manual_seed(3)
    shapes = [(len(g), len(a)) for a, g in zip(factors.activation, factors.gradient, strict=True)]
    dtype = factors.activation[0].dtype
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


def flat(vectors):
    return torch.cat([v.double().cpu().flatten() for v in vectors])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize("make", [BlockDiagonalInverse, BlockTridiagonalInverse])
def test_an_inverse_is_that_of_the_cpu(make, dtype, tolerance):
    factors = wide_factors(dtype)
    vectors = some_vectors(factors)
    here = make(factors, 0.05).multiply(vectors)
    there = make(on_gpu(factors), 0.05).multiply([v.cuda() for v in vectors])
    assert oracles.relative_error(flat(there), flat(here)) < tolerance


def test_sigma_is_inverted_by_doubling_there():
    fallbacks = Fallbacks()
    inverse = BlockTridiagonalInverse(
        on_gpu(wide_factors(torch.float32)), 0.05, fallbacks=fallbacks
    )
    assert all(isinstance(each, DoublingCoupling) for each in inverse.couplings)
    assert fallbacks == Fallbacks()


def test_where_doubling_does_not_converge_sigma_is_decomposed_and_that_is_no_fallback():
    """One case: neighbouring layers determine each other, and 1 - s1 s2 shrinks with gamma."""
    stats = oracles.statistics(*oracles.problem(oracles.every_architecture()[0], cases=1))
    factors = oracles.tridiagonal(stats, KroneckerFactors)
    fallbacks = Fallbacks()
    inverse = BlockTridiagonalInverse(on_gpu(factors), 1e-8, fallbacks=fallbacks)
    expected = BlockTridiagonalInverse(factors, 1e-8, sigma_solver="decomposition")
    vectors = some_vectors(factors)
    there = inverse.multiply([v.cuda() for v in vectors])
    assert not all(isinstance(each, DoublingCoupling) for each in inverse.couplings)
    assert oracles.relative_error(flat(there), flat(expected.multiply(vectors))) < 1e-3
    assert fallbacks.unconverged_doublings == 0


def test_work_on_several_streams_is_complete_when_the_next_begins():
    """Each item takes long enough for the others to be begun before it is done.

    Powers of a cyclic shift, which are exact.
    """
    sizes = [1500, 700, 1100, 300, 900, 500, 1300]
    shifts = [torch.eye(size, device="cuda").roll(1, 0) for size in sizes]

    def power(matrix):
        for _ in range(10):
            matrix = matrix @ matrix
        return matrix

    for _ in range(5):
        for result, size in zip(side_by_side(power, shifts, lambda m: m), sizes, strict=True):
            assert torch.equal(result, torch.eye(size, device="cuda").roll(2**10, 0))


def test_the_first_item_that_fails_raises_its_error():
    def fail(matrix):
        if len(matrix) > 2:
            raise ArithmeticError(len(matrix))

    matrices = [torch.zeros(size, size, device="cuda") for size in (1, 4, 3)]
    with pytest.raises(ArithmeticError, match="4"):
        side_by_side(fail, matrices, lambda m: m)
