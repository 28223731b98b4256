"""Section 8 with l2 > 0: eta F-breve^-1 theta on its own, of the last refresh."""

import pytest
import torch

from engine.curvature.test_low_rank import FEW, MANY, Batch, normal
from kfac_cli.engine import KFAC, KFACOptions, Network, sparse_initialization
from kfac_cli.engine.curvature.factors import CaseFactors
from kfac_cli.engine.curvature.registry import make_curvature
from kfac_cli.engine.curvature.separate_decay import SeparateDecayInverse

L2 = 0.3


def given(cases):
    batch = Batch(cases, L2)
    inverse = SeparateDecayInverse(batch.inverse, L2)
    return batch, inverse, CaseFactors(batch.gradients, batch.homogeneous)


@pytest.mark.parametrize("cases", [FEW, 5, MANY])
def test_at_the_parameters_of_the_refresh_the_product_is_exact(cases):
    batch, inverse, factors = given(cases)
    products = inverse.at(batch.parameters).multiply_gradient(batch.gradient, factors)
    for product, direct in zip(products, batch.inverse.multiply(batch.gradient), strict=True):
        torch.testing.assert_close(product, direct)


def test_at_other_parameters_it_differs_by_that_of_their_difference_times_eta():
    """In layers whose product is of low rank; the others, here all but the first, are exact."""
    batch, inverse, factors = given(5)
    shift = [normal(*w.shape, seed=3) for w in batch.parameters]
    earlier = [w - s for w, s in zip(batch.parameters, shift, strict=True)]
    products = inverse.at(earlier).multiply_gradient(batch.gradient, factors)
    direct = batch.inverse.multiply(batch.gradient)
    missing = batch.inverse.multiply(shift)
    for layer, low_rank in enumerate([True, False, False]):
        expected = direct[layer] - L2 * low_rank * missing[layer]
        torch.testing.assert_close(products[layer], expected)


def test_with_few_cases_the_gradient_is_not_used():
    batch, inverse, factors = given(FEW)
    expected = inverse.at(batch.parameters).multiply_gradient(batch.gradient, factors)
    unknown = [torch.full_like(g, torch.nan) for g in batch.gradient]
    products = inverse.at(batch.parameters).multiply_gradient(unknown, factors)
    for product, other in zip(products, expected, strict=True):
        assert torch.equal(product, other)


def test_before_a_refresh_or_without_cases_the_product_is_the_direct_one():
    """As in the trial steps for lambda, or with more cases than fit into a chunk."""
    batch, inverse, factors = given(FEW)
    expected = batch.inverse.multiply(batch.gradient)
    for products in (
        inverse.multiply_gradient(batch.gradient, factors),
        inverse.at(batch.parameters).multiply_gradient(batch.gradient, None),
    ):
        assert all(torch.equal(a, b) for a, b in zip(products, expected, strict=True))


def test_a_saved_inverse_is_restored_exactly():
    batch, inverse, factors = given(FEW)
    options = KFACOptions(inverse="block_diagonal", l2_product="refreshed", l2=L2)
    for each in (inverse, inverse.at(batch.parameters)):
        state = each.state_dict()
        curvature = make_curvature(options)
        curvature.inverse_rules(batch.parameters)(state, "inverse")
        again = curvature.restore(state)
        for a, b in zip(
            again.multiply_gradient(batch.gradient, factors),
            each.multiply_gradient(batch.gradient, factors),
            strict=True,
        ):
            assert torch.equal(a, b)


def test_in_a_run_the_first_update_is_exact_and_later_ones_nearly():
    """eta times the change of theta is small."""
    inputs = torch.rand(2, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ends = []
    for product in ("exact", "refreshed"):
        network = Network([6, 5, 4, 6], ["tanh", "linear"], "bernoulli")
        parameters = sparse_initialization(network, torch.Generator().manual_seed(0))
        options = KFACOptions(inverse="block_diagonal", l2_product=product, lambda_initial=1.0)
        optimizer = KFAC(network, parameters, options, torch.Generator().manual_seed(1))
        optimizer.step(inputs, inputs)
        first = optimizer.parameters
        for _ in range(10):
            optimizer.step(inputs, inputs)
        ends.append((first, optimizer.parameters))
    (first, last), (other_first, other_last) = ends
    for a, b, c, d in zip(first, other_first, last, other_last, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(c, d, rtol=1e-3, atol=1e-3)
    assert any(not torch.equal(a, b) for a, b in zip(last, other_last, strict=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "l2_product=refreshed: needs inverse=block_diagonal, without tikhonov=exact"),
        (
            {"inverse": "block_diagonal", "tikhonov": "exact"},
            "l2_product=refreshed: needs inverse=block_diagonal, without tikhonov=exact",
        ),
        ({"inverse": "block_diagonal", "l2": 0}, "l2_product=refreshed: needs l2 above 0"),
    ],
)
def test_where_there_is_nothing_to_separate_it_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        KFACOptions(l2_product="refreshed", **settings)
