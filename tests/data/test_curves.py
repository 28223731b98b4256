"""CURVES: the construction, point by point, and the published properties of the result."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from kfac_cli.data.curves import (
    deposit,
    draw_points,
    generate_curves,
    load_curves,
    natural_spline,
    smear,
    trajectory,
)

SPREAD, INK = 0.2, 0.70


def config(**changes):
    settings = {"train_cases": 30, "test_cases": 20, "seed": 0, "spread": SPREAD, "ink": INK}
    return SimpleNamespace(**settings | changes)


# The construction


def test_control_points_keep_their_distance_and_their_square():
    x, y = draw_points(10_000, np.random.default_rng(0))
    assert np.diff(x, axis=1).min() >= 2
    for coordinates in (x, y):
        assert coordinates.min() >= 2
        assert coordinates.max() <= 26
        assert coordinates.min() < 2.1
        assert coordinates.max() > 25.9


def test_control_points_are_distributed_as_by_rejection():
    x, _ = draw_points(20_000, np.random.default_rng(0))
    tried = np.sort(np.random.default_rng(1).uniform(2, 26, (40_000, 3)), axis=1)
    kept = tried[(np.diff(tried, axis=1) >= 2).all(axis=1)]
    np.testing.assert_allclose(x.mean(axis=0), kept.mean(axis=0), atol=0.15)
    np.testing.assert_allclose(np.cov(x.T), np.cov(kept.T), atol=0.6)


def test_the_spline_is_the_natural_cubic_one():
    x, y = draw_points(50, np.random.default_rng(0))
    at = np.linspace(x[:, 0], x[:, 2], 33, axis=1)
    expected = [CubicSpline(x[i], y[i], bc_type="natural")(at[i]) for i in range(50)]
    np.testing.assert_allclose(natural_spline(x, y, at), expected, atol=1e-10)


def test_a_point_shares_its_ink_among_the_four_closest_pixels():
    wet = deposit(np.array([[10.75]]), np.array([[5.5]]), np.array([[2.0]]))[0]
    expected = np.zeros((28, 28))
    expected[5, 10], expected[5, 11] = 2 * 0.75, 2 * 0.25
    np.testing.assert_allclose(wet, expected)


def test_ink_beyond_the_image_is_lost():
    x, y = np.array([[14.0, 14.0, -3.0]]), np.array([[28.0, 50.0, 14.0]])
    wet = deposit(x, y, np.full((1, 3), 2.0))
    assert wet.sum() == pytest.approx(1.0)  # half of the first point's ink, nothing of the others'
    assert wet[0, 27].sum() == pytest.approx(1.0)


def draw_slowly(x, y):
    """One image, one drop of ink after the other, from the published description."""
    image = np.zeros((28, 28))
    rows, columns = np.indices((28, 28)) + 0.5  # where the middle of each pixel is

    def drop(point, amount):
        right, down = np.abs(point[0] - columns), np.abs(point[1] - rows)
        image[:] += amount * np.maximum(0, 1 - right) * np.maximum(0, 1 - down)

    pen_x = np.linspace(x[0], x[2], 17)
    pen = np.stack([pen_x, CubicSpline(x, y, bc_type="natural")(pen_x)], axis=1)
    for point in pen:
        drop(point, 2)
    for here, there in pairwise(pen):
        distance = np.linalg.norm(there - here)
        if distance > 1:
            for share in (0.25, 0.5, 0.75):
                drop(here + share * (there - here), 2 * min(distance - 1, 1))
    a, b = SPREAD, INK
    kernel = np.array([[a / 12, a / 6, a / 12], [a / 6, 1 - a, a / 6], [a / 12, a / 6, a / 12]])
    for _ in range(4):
        padded = np.pad(image, 1)
        image = sum(
            b * (1 + a) * kernel[row, column] * padded[row : row + 28, column : column + 28]
            for row in range(3)
            for column in range(3)
        )
    return np.clip(image, 0, 1)


def test_images_are_drawn_as_described():
    x, y = draw_points(20, np.random.default_rng(3))
    expected = [draw_slowly(*points).ravel() for points in zip(x, y, strict=True)]
    images = generate_curves(20, np.random.default_rng(3), SPREAD, INK)
    np.testing.assert_allclose(images, expected, atol=1e-6)


def test_smearing_keeps_a_known_share_of_the_ink():
    wet = np.zeros((1, 28, 28))
    wet[0, 14, 14] = 1
    assert smear(wet, SPREAD, INK).sum() == pytest.approx((INK * (1 + SPREAD)) ** 4)


def test_more_ink_is_laid_where_the_pen_moves_fast():
    slow = trajectory(np.array([[2.0, 10.0, 18.0]]), np.array([[5.0, 5.0, 5.0]]))
    fast = trajectory(np.array([[2.0, 10.0, 18.0]]), np.array([[2.0, 14.0, 26.0]]))
    assert slow[2].sum() == pytest.approx(17 * 2)  # one pixel a step: nothing in between
    step = np.hypot(1.0, 1.5)
    assert fast[2].sum() == pytest.approx(17 * 2 + 16 * 3 * 2 * (step - 1))


# The result


@pytest.fixture(scope="module")
def images():
    return generate_curves(20_000, np.random.default_rng(0), SPREAD, INK).astype(np.float64)


def cross_entropy(targets, probabilities):
    safe = np.clip(probabilities, 1e-12, 1 - 1e-12)
    return -(targets * np.log(safe) + (1 - targets) * np.log1p(-safe)).sum(axis=1).mean()


def test_total_pixel_variance(images):
    assert images.var(axis=0).sum() == pytest.approx(16.7, abs=0.15)


def test_entropy_floor(images):
    assert cross_entropy(images, images) == pytest.approx(54.5, abs=0.5)


def test_cross_entropy_of_the_mean_image(images):
    mean = np.broadcast_to(images.mean(axis=0), images.shape)
    assert cross_entropy(images, mean) == pytest.approx(134, abs=1)


def test_error_of_principal_component_analysis(images):
    train, test = images[:15_000], images[15_000:]
    mean = train.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(train.T))
    codes = (test - mean) @ vectors[:, -18:]
    error = ((test - mean) ** 2).sum(axis=1).mean() - (codes**2).sum(axis=1).mean()
    assert error == pytest.approx(8.6, abs=0.15)


def test_images_are_intensities(images):
    assert images.min() == 0
    assert images.max() == 1


# The dataset


def test_a_dataset_is_an_autoencoder_problem(tmp_path):
    dataset = load_curves(config(), tmp_path)
    assert dataset.name == "curves"
    assert dataset.train_inputs.shape == (30, 784)
    assert dataset.test_inputs.shape == (20, 784)
    assert dataset.train_targets is dataset.train_inputs
    assert dataset.test_targets is dataset.test_inputs
    assert dataset.image_shape == (28, 28)


def test_training_and_test_images_differ(tmp_path):
    dataset = load_curves(config(), tmp_path)
    assert not (dataset.train_inputs[:, None] == dataset.test_inputs).all(dim=-1).any()


def test_a_seed_determines_the_images(tmp_path):
    first = load_curves(config(), tmp_path / "a")
    again = load_curves(config(), tmp_path / "b")
    other = load_curves(config(seed=1), tmp_path / "a")
    assert first.train_inputs.equal(again.train_inputs)
    assert first.test_inputs.equal(again.test_inputs)
    assert not first.train_inputs.equal(other.train_inputs)


def test_fewer_cases_are_the_first_of_more(tmp_path):
    many, few = (load_curves(config(train_cases=n), tmp_path) for n in (3000, 2500))
    assert few.train_inputs.equal(many.train_inputs[:2500])
    assert few.test_inputs.equal(many.test_inputs)


def test_the_cache_is_used_and_knows_every_parameter(tmp_path, monkeypatch):
    variants = [
        config(),
        config(train_cases=31),
        config(test_cases=21),
        config(seed=1),
        config(spread=0.3),
        config(ink=0.8),
    ]
    made = [load_curves(variant, tmp_path) for variant in variants]
    assert len(list((tmp_path / "curves").iterdir())) == len(variants)
    monkeypatch.delattr("kfac_cli.data.curves.generate_curves")
    for variant, dataset in zip(variants, made, strict=True):
        assert load_curves(variant, tmp_path).train_inputs.equal(dataset.train_inputs)
