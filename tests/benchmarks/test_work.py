"""The count of the products that an iteration needs, against numbers found by hand."""

import pytest

from benchmarks.common.problems import SMALL
from benchmarks.common.products import recorded, total_multiply_adds
from benchmarks.iteration import needed, prepared
from benchmarks.work import unavoidable_multiply_adds
from kfac_cli.paper.cost.methods import INVERSES


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
