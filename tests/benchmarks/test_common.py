"""What the benchmarks share: spreads, recorded products, counted reads, times by task."""

import math

import pytest
import torch

from benchmarks.common.host_reads import host_reads
from benchmarks.common.op_times import operator_shares
from benchmarks.common.products import Bare, recorded, total_multiply_adds
from benchmarks.common.timing import Spread, alternated, figures, ratios
from benchmarks.cycle import Cycle


def test_a_spread_is_the_median_with_its_quartiles():
    assert Spread.of([4.0, 1.0, 2.0, 3.0, 5.0]) == Spread(3, 2, 4, 5)
    assert str(Spread.of([4.0, 1.0, 2.0, 3.0, 5.0])) == "3.00 (2.00–4.00)"
    assert str(Spread.of([0.25])) == "0.250"
    with pytest.raises(ValueError, match="no values"):
        Spread.of([])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (9.999, "10.0"),
        (0.01234, "0.0123"),
        (123.4, "123"),
        (1234.5, "1,234"),
        (3e-6, "3e-06"),
    ],
)
def test_three_figures(value, text):
    assert figures(value) == text


def test_repetitions_alternate_and_ratios_are_formed_within_a_round():
    order = []
    times = alternated({name: lambda n=name: order.append(n) for name in "ab"}, 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}
    assert ratios([2.0, 9.0, 8.0], [1.0, 3.0, 2.0]).median == 3


def test_products_are_recorded_with_their_layout_and_made_again():
    a, b = torch.ones(20, 10), torch.ones(30, 10)
    out = torch.empty(20, 30)

    def work():
        torch.mm(a, b.T, out=out)
        torch.addmm(out, a, b.T)
        (a[:, :8] @ b[:, :8].T).sum()
        a @ torch.ones(10, 2)  # too narrow to count

    products = recorded(work)
    assert [p.multiply_adds for p in products] == [6000, 6000, 4800]
    assert products[2].arguments[1].stride() == (1, 10)
    again = recorded(Bare(products))
    assert total_multiply_adds(again) == total_multiply_adds(products)
    assert [p.operator for p in again] == [p.operator for p in products]


def test_reads_of_numbers_are_counted():
    values = torch.ones(3)
    assert host_reads(lambda: (float(values.sum()), values.sum().item(), values + 1)) == 2


def test_the_shares_of_operators_add_up_to_one():
    shares = operator_shares(lambda: torch.linalg.cholesky(torch.eye(5)) @ torch.ones(5, 5))
    assert math.isclose(sum(shares.values()), 1)
    assert shares["products"] > 0
    assert shares["factorisations"] > 0


def test_a_cycle_tells_searches_from_plain_iterations():
    times = [9.0] * 6 + [1.0] * 13 + [5.0] + [1.0] * 6
    cycle = Cycle.of(times)
    assert (cycle.plain.median, cycle.search.median, cycle.first) == (1, 5, 54)
    assert cycle.mean == pytest.approx((19 + 5) / 20)
