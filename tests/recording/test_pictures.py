"""Pairs of pictures: the same mapping of intensities, originals above."""

import math

import numpy as np
import pytest
import torch

from kfac_cli.recording.pictures import display_pairs, pair_picture


def test_intensities_from_0_to_1_are_shown_as_they_are_and_clipped():
    originals = torch.tensor([[0.0, 0.25, 0.5, 0.5]])
    above, below = display_pairs(originals, torch.tensor([[1.5, -0.5, 0.5, 1.0]]), (2, 2))
    np.testing.assert_array_equal(above, [[[0.0, 0.25], [0.5, 0.5]]])
    np.testing.assert_array_equal(below, [[[1.0, 0.0], [0.5, 1.0]]])


def test_other_intensities_are_stretched_by_each_originals_own_range():
    originals = torch.tensor([[-2.0, 2.0], [-1.0, 0.0]])
    reconstructions = torch.tensor([[0.0, 1.0], [-0.5, 7.0]])
    above, below = display_pairs(originals, reconstructions, (1, 2))
    np.testing.assert_array_equal(above, [[[0.0, 1.0]], [[0.0, 1.0]]])
    np.testing.assert_array_equal(below, [[[0.5, 0.75]], [[0.5, 1.0]]])


def test_a_diverged_reconstruction_and_a_constant_original_give_valid_grey_levels():
    originals = torch.full((2, 2), -3.0)
    _, below = display_pairs(
        originals, torch.tensor([[math.nan, math.inf], [-math.inf, -3.0]]), (1, 2)
    )
    np.testing.assert_array_equal(below, [[[0.0, 1.0]], [[0.0, 0.0]]])


def test_bands_hold_originals_above_their_reconstructions():
    originals = torch.tensor([[0.1], [0.2], [0.3]])
    picture = pair_picture(originals, originals + 0.5, (1, 1), columns=2)
    blank = 1.0
    expected = [
        [0.1, blank, 0.2],
        [blank, blank, blank],
        [0.6, blank, 0.7],
        [blank, blank, blank],
        [blank, blank, blank],
        [blank, blank, blank],
        [0.3, blank, blank],
        [blank, blank, blank],
        [0.8, blank, blank],
    ]
    np.testing.assert_allclose(picture, expected, atol=1e-7)


@pytest.mark.parametrize(
    ("originals", "reconstructions", "message"),
    [
        (torch.zeros(2, 4), torch.zeros(3, 4), "same shape"),
        (torch.zeros(2, 5), torch.zeros(2, 5), "does not hold 5 pixels"),
        (torch.zeros(0, 4), torch.zeros(0, 4), "originals is empty"),
    ],
)
def test_shapes_that_do_not_fit_are_named(originals, reconstructions, message):
    with pytest.raises(ValueError, match=message):
        pair_picture(originals, reconstructions, (2, 2))
