"""The cost formula of section 8, against the coefficients that the paper prints."""

import pytest

from kfac_cli.engine.options.kfac import KFACOptions
from kfac_cli.paper.cost.formula import Constants, Settings, Sizes, kfac_cost, sgd_cost

SQUARE = [(10, 10), (10, 10)]  # ℓ = 2, d = 10


def test_equal_layers_give_the_powers_of_the_paper():
    assert Sizes.of(SQUARE, 40) == Sizes(200, 2000, 2000, 2000)
    assert Sizes.of(SQUARE, 4).low_rank == 200 * 4


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


def test_the_settings_are_those_of_the_options():
    assert Settings.of(KFACOptions()) == Settings(shortcut=False)  # the l2 term has full rank
    assert Settings.of(KFACOptions(l2=0, tau1=0.5, t1=7, t2=40, momentum=False)) == Settings(
        tau1=0.5, t1=7, t2=40, momentum=False
    )
    diagonal = KFACOptions(inverse="block_diagonal", l2_product="refreshed")
    assert Settings.of(diagonal) == Settings(tridiagonal=False)


def test_what_is_never_adjusted_costs_nothing():
    options = KFACOptions(lambda_rule="fixed", lambda_initial=1, gamma_rule="fixed")
    settings = Settings.of(options)
    assert (settings.t1, settings.t2) == (None, None)
    cost = kfac_cost(Sizes.of(SQUARE, 40), 40, Constants(1, 1, 1, 1), settings)
    assert (cost[5], cost[6], cost[8]) == (2000 / 20, 2000, 0)


@pytest.mark.parametrize(
    ("t1", "t2", "models"),
    [
        (5, 20, 1 / 5 + 2 / 20),
        (6, 20, 1 / 6 + 3 / 20 - 1 / 60),
        (None, 20, 3 / 20),
        (5, None, 1 / 5),
    ],
)
def test_with_a_fixed_alpha_m_is_computed_where_lambda_or_gamma_is_chosen_by_it(t1, t2, models):
    """One version of the update at every T₁-th iteration, three at every T₂-th."""
    settings = Settings(t1=t1, t2=t2, rescaling=False, momentum=False)
    cost = kfac_cost(Sizes.of(SQUARE, 40), 40, Constants(1, 1, 1, 1), settings)
    whole = kfac_cost(Sizes.of(SQUARE, 40), 40, Constants(1, 1, 1, 1), Settings(t2=None))
    assert cost[7] == pytest.approx(whole[7] / 2 * models)


def test_without_the_shortcut_both_inverses_make_products_of_d_cubed():
    sizes = Sizes.of(SQUARE, 4)
    assert sizes.products(Settings(tridiagonal=False)) == 800
    assert sizes.products(Settings(tridiagonal=False, shortcut=False)) == 2000
    assert sizes.products(Settings(tridiagonal=True)) == 2000
