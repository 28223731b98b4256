"""F̆⁻¹ from a few cases, against F̆⁻¹ from the factors of the same cases."""

import pytest
import torch

from kfac_cli.engine.curvature.block_diagonal import BlockDiagonalInverse
from kfac_cli.engine.curvature.block_tridiagonal import BlockTridiagonalInverse
from kfac_cli.engine.curvature.factors import sum_over_cases
from kfac_cli.engine.curvature.few_cases import FewCases

INPUTS, OUTPUTS = (7, 31, 9, 31), (30, 8, 30, 5)


def rows(cases):
    """ā (cases, q) and g (cases, p) of two layers."""
    generator = torch.Generator().manual_seed(cases)

    def drawn(widths):
        return [
            torch.randn(cases, width, generator=generator, dtype=torch.float64) for width in widths
        ]

    return drawn(INPUTS), drawn(OUTPUTS)


def factors(homogeneous, gradients):
    sums = sum_over_cases(homogeneous, gradients, neighbours=True)
    sums.scale_(1 / homogeneous[0].shape[0])
    return sums


@pytest.mark.parametrize("inverse", [BlockDiagonalInverse, BlockTridiagonalInverse])
@pytest.mark.parametrize("gamma", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("cases", [1, 5, 20, 30, 60])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-3)])
def test_it_equals_the_inverse_of_the_damped_factors(dtype, tolerance, cases, gamma, inverse):
    homogeneous, gradients = rows(cases)
    vectors = [torch.ones(p, q, dtype=torch.float64) for q, p in zip(INPUTS, OUTPUTS, strict=True)]
    expected = inverse(factors(homogeneous, gradients), gamma).multiply(vectors)
    few = FewCases(
        [a.to(dtype) for a in homogeneous],
        [g.to(dtype) for g in gradients],
        [v.to(dtype) for v in vectors],
        coupled=inverse is BlockTridiagonalInverse,
    )
    products = few.inverse_product(gamma)
    for product, exact in zip(products, expected, strict=True):
        assert product.dtype == dtype
        assert (product - exact).norm() <= tolerance * exact.norm()


@pytest.mark.parametrize("cases", [1, 20, 60])
def test_its_mean_eigenvalue_is_that_of_the_kronecker_blocks(cases):
    """The natural scale of λ, where its calibration starts."""
    drawn = rows(cases)
    vectors = [torch.zeros(p, q, dtype=torch.float64) for q, p in zip(INPUTS, OUTPUTS, strict=True)]
    known = factors(*drawn)
    pairs = zip(known.activation, known.gradient, strict=True)
    dense = torch.cat([torch.kron(a, g).diagonal() for a, g in pairs])
    assert FewCases(*drawn, vectors).mean_eigenvalue() == pytest.approx(dense.mean().item())


def test_factors_of_zero_leave_the_damping():
    homogeneous, gradients = [torch.zeros(3, 2)], [torch.zeros(3, 4)]
    few = FewCases(homogeneous, gradients, [torch.ones(4, 2)])
    assert few.mean_eigenvalue() == 0
    [product] = few.inverse_product(0.5)
    torch.testing.assert_close(product, torch.full((4, 2), 4.0))
