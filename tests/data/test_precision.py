"""Rounding to the precision of a run: what is kept, and which losses are told."""

import numpy as np
import pytest

from kfac_cli.data.precision import loss_of_inputs, loss_of_targets, rounded

NORMAL = np.random.default_rng(0).normal(size=(300, 4))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "float16", "float32"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_what_float32_holds_stays_float32(dtype, precision):
    array = np.rint(NORMAL).astype(dtype)
    assert rounded(array, precision).dtype == np.float32
    np.testing.assert_array_equal(rounded(array, precision), array)


def test_float32_is_not_copied():
    array = NORMAL.astype(np.float32)
    assert np.shares_memory(rounded(array, "float64"), array)


@pytest.mark.parametrize("array", [NORMAL, NORMAL.astype(">f8"), np.full((3, 2), 2**40 + 1)])
def test_more_precise_numbers_are_kept_for_a_float64_run(array):
    kept = rounded(array, "float64")
    assert kept.dtype == np.dtype(np.float64)  # in the machine's byte order
    np.testing.assert_array_equal(kept, array)
    assert rounded(array, "float32").dtype == np.float32


def test_float64_that_float32_holds_takes_half_the_memory():
    assert rounded(np.rint(NORMAL), "float64").dtype == np.float32


def single(array):
    return rounded(array, "float32")


def test_ordinary_numbers_lose_nothing_worth_a_warning():
    for array in (NORMAL, 300 + 30 * NORMAL, NORMAL * 1e-9, np.exp(3 * NORMAL)):
        assert loss_of_inputs(array, single(array)) is None
        assert loss_of_targets(array, single(array)) is None


def test_rows_that_become_equal_are_counted():
    array = NORMAL.copy()
    array[1] = array[0] * (1 + 1e-12)
    array[2] = array[0]  # equal before as well
    assert loss_of_inputs(array, single(array)) == "leaves 298 of its 299 distinct rows"


def test_zeros_of_both_signs_are_one_row():
    array = np.array([[0.0, 0.1], [-0.0, 0.1], [-1e-60, 0.2], [1.0, 0.3]])
    assert loss_of_inputs(array, single(array)) is None


def test_an_input_whose_differences_vanish_is_told_though_rows_differ():
    array = NORMAL.copy()
    array[:, 2] += 1e9
    loss = loss_of_inputs(array, single(array))
    assert loss is not None
    assert loss.startswith("moves column 2 (counted from 0) by ")


@pytest.mark.parametrize(("offset", "told"), [(1.0, False), (1e3, True), (1e8, True)])
def test_targets_may_move_by_a_millionth_of_their_spread(offset, told):
    array = NORMAL.copy()
    array[:, 3] = 5 * array[:, 3] + offset * 5
    loss = loss_of_targets(array, single(array))
    assert (loss is not None) == told
    assert loss is None or loss.startswith("moves column 3 ")


def test_a_constant_column_has_no_spread_to_lose():
    assert loss_of_targets(np.full((9, 2), 0.1), single(np.full((9, 2), 0.1))) is None
