"""The cost formula of section 8 and the count of products, against numbers found by hand."""

import pytest

from benchmarks.common.problems import INVERSES, SMALL
from benchmarks.common.products import recorded, total_multiply_adds
from benchmarks.iteration import needed, prepared
from benchmarks.work import (
    Constants,
    Settings,
    Sizes,
    kfac_cost,
    sgd_cost,
    unavoidable_multiply_adds,
)

SQUARE = [(10, 10), (10, 10)]  # ℓ = 2, d = 10


def test_equal_layers_give_the_powers_of_the_paper():
    assert Sizes.of(SQUARE, 40) == Sizes(200, 2000, 2000, 2000)
    assert Sizes.of(SQUARE, 4).shortcut == 200 * 4


def test_layers_that_differ_are_summed():
    sizes = Sizes.of([(2, 3), (4, 5)], 100)
    assert sizes == Sizes(6 + 20, (8 + 27 + 64 + 125) / 2, (30 + 180) / 2, 15 + 90)


@pytest.mark.parametrize(
    ("constants", "tridiagonal", "expected"),
    [
        (Constants(1, 0, 0, 0), False, 3.425 * 200 * 40),
        (Constants(0, 1, 0, 0), False, 1.25 * 200 * 40),
        (Constants(0, 0, 1, 0), False, 0.055 * 2000),
        (Constants(0, 0, 0, 1), False, 1.1 * 200 * 10),
        (Constants(0, 0, 1, 0), True, 0.055 * 2000),
        (Constants(0, 0, 0, 1), True, 1.1 * 2000),
    ],
)
def test_the_settings_of_the_paper_give_its_coefficients(constants, tridiagonal, expected):
    cost = kfac_cost(Sizes.of(SQUARE, 40), 40, constants, Settings(tridiagonal=tridiagonal))
    assert sum(cost.values()) == pytest.approx(expected)


def test_without_momentum_half_of_task_7_is_left():
    constants = Constants(1, 0, 0, 0)
    sizes = Sizes.of(SQUARE, 40)
    halves = [kfac_cost(sizes, 40, constants, Settings(momentum=m))[7] for m in (True, False)]
    assert halves == pytest.approx([4 * 1.1 / 4 * 8000, 2 * 1.1 / 4 * 8000])


def test_sgd_costs_two_passes_and_the_gradient():
    assert sgd_cost(Sizes.of(SQUARE, 40), 40, Constants(3, 5, 0, 0)) == (2 * 3 + 5) * 8000


def test_the_products_of_a_small_network_by_hand():
    shapes = [(2, 4), (3, 3)]  # d = 3, 2, 3
    diagonal = unavoidable_multiply_adds(shapes, 8, 1, 2, tridiagonal=False)
    assert diagonal == {
        "forward": 8 * (8 + 9),
        "backward": 8 * 3 * 2,
        "gradient": 8 * (8 + 9),
        "statistics": 1 * (6 + (4 + 16 + 9 + 9)),
        "J v": 2 * 2 * (17 + 6),
        "F⁻¹v": 2 * 4 * 6 + 3 * 3 * 6,
    }
    tridiagonal = unavoidable_multiply_adds(shapes, 8, 1, 2, tridiagonal=True)
    assert tridiagonal["statistics"] == diagonal["statistics"] + 2 * 3 + 4 * 3
    psi, psi_transposed = 2 * 3 * 3 + 2 * 3 * 4, 3 * 2 * 4 + 3 * 4 * 3
    sigma = 2 * 2 * 4 + 2 * 3 * 4 + 2 * 2 * 3 + 2 * 3 * 4  # ranks 2 and 3
    assert tridiagonal["F⁻¹v"] == diagonal["F⁻¹v"] + psi + psi_transposed + sigma


@pytest.mark.parametrize("optimizer", INVERSES.values())
def test_a_plain_iteration_makes_no_product_in_vain(optimizer):
    made = prepared(SMALL, 40, optimizer)
    found = total_multiply_adds(recorded(made.step))
    assert 0 < found <= needed(made, 40, optimizer)
