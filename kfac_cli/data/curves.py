"""CURVES: pen strokes through three random points, regenerated from the published description.

The curves follow Hinton and Salakhutdinov (2006), supporting online material, and the ink Hinton
and Nair (2005), section 2. The two constants of the ink were never published, so the images are
similar to the original ones, but not the same.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve

from kfac_cli.data.base_options import Report, silent
from kfac_cli.data.cache import Arrays, load_or_build
from kfac_cli.data.dataset import Dataset
from kfac_cli.data.options import CurvesOptions

Floats = NDArray[np.float64]

VERSION = 1  # increase when the same parameters give other images
SIDE = CurvesOptions.SIDE
LOW, HIGH = 2.0, 26.0  # the points' coordinates
GAP = 2.0  # between the x of one point and that of the next
TRAJECTORY_POINTS = 17
BETWEEN = np.array([0.25, 0.5, 0.75])
INK = 2.0  # laid down by one point
SMEARS = 4
IMAGES_AT_ONCE = 2000  # bounds the memory


def load_curves(config: CurvesOptions, data_dir: Path, report: Report = silent) -> Dataset:
    """The autoencoder problem CURVES: images (N, 784) in [0, 1], cached in data_dir/curves.

    `report` is called while they are generated.
    """
    name = (
        f"curves-v{VERSION}-train{config.train_cases}-test{config.test_cases}"
        f"-seed{config.seed}-spread{float(config.spread)}-ink{float(config.ink)}"
    )
    pixels = SIDE * SIDE
    shapes = {"train": (config.train_cases, pixels), "test": (config.test_cases, pixels)}

    def build() -> Arrays:
        # Separate streams: the number of training images does not change the test images.
        streams = np.random.SeedSequence(config.seed).spawn(len(shapes))
        generators = [np.random.default_rng(stream) for stream in streams]
        train, total = config.train_cases, config.train_cases + config.test_cases

        def generate(part: int, cases: int, before: int) -> NDArray[np.float32]:
            return generate_curves(
                cases,
                generators[part],
                config.spread,
                config.ink,
                lambda done: report("generating CURVES", before + done, total),
            )

        return {
            "train": generate(0, train, 0),
            "test": generate(1, config.test_cases, train),
        }

    images = load_or_build(data_dir / CurvesOptions.FOLDER / f"{name}.npz", name, shapes, build)
    return Dataset.autoencoder("curves", images["train"], images["test"], (SIDE, SIDE))


def generate_curves(
    cases: int,
    generator: np.random.Generator,
    spread: float,
    ink: float,
    report: Callable[[int], None] = lambda done: None,
) -> NDArray[np.float32]:
    """Draw images (cases, 784) in [0, 1]; a smaller number of cases gives the first of them.

    `report` is called with the number of images so far.
    """
    x, y = draw_points(cases, generator)
    images = np.empty((cases, SIDE, SIDE), dtype=np.float32)
    for start in range(0, cases, IMAGES_AT_ONCE):
        part = slice(start, start + IMAGES_AT_ONCE)
        wet = deposit(*trajectory(x[part], y[part]))
        images[part] = np.clip(smear(wet, spread, ink), 0.0, 1.0)
        report(min(part.stop, cases))
    return images.reshape(cases, SIDE * SIDE)


def draw_points(cases: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """The points' x and y, each (cases, 3): x sorted, uniform among those at least GAP apart.

    Three sorted uniforms, moved apart by GAP, have the distribution of sorted uniforms on the whole
    range after rejection of those closer than GAP.
    """
    draws = generator.random((cases, 6))
    x = LOW + np.sort(draws[:, :3], axis=1) * (HIGH - LOW - 2 * GAP) + GAP * np.arange(3)
    y = LOW + draws[:, 3:] * (HIGH - LOW)
    return x, y


def natural_spline(x: Floats, y: Floats, at: Floats) -> Floats:
    """The natural cubic splines through points (n, 3), evaluated at abscissae (n, m)."""
    left, right = np.diff(x, axis=1).T[:, :, None]
    slope_left, slope_right = np.diff(y, axis=1).T[:, :, None] / (left, right)
    bend = 3 * (slope_right - slope_left) / (left + right)  # the second derivative in the middle
    slope = slope_left + bend * left / 3
    u = at - x[:, 1:2]
    cubic = np.where(u < 0, bend / (6 * left), -bend / (6 * right))
    value: Floats = y[:, 1:2] + u * (slope + u * (bend / 2 + u * cubic))
    return value


def trajectory(x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Where a pen leaves ink on its way through points (n, 3): x, y and amount, each (n, 65).

    17 points evenly spaced in x, and three more between neighbours over a pixel apart.
    """
    share = np.linspace(0, 1, TRAJECTORY_POINTS)
    pen_x = x[:, :1] + (x[:, 2:] - x[:, :1]) * share
    pen_y = natural_spline(x, y, pen_x)
    step_x, step_y = np.diff(pen_x, axis=1), np.diff(pen_y, axis=1)
    distance = np.hypot(step_x, step_y)
    # (n, 16, 1) steps from each point, at a quarter, a half and three quarters: (n, 16, 3)
    more_x = pen_x[:, :-1, None] + step_x[:, :, None] * BETWEEN
    more_y = pen_y[:, :-1, None] + step_y[:, :, None] * BETWEEN
    more_ink = np.repeat(INK * np.clip(distance - 1, 0, 1), len(BETWEEN), axis=1)
    cases = len(x)
    return (
        np.concatenate([pen_x, more_x.reshape(cases, -1)], axis=1),
        np.concatenate([pen_y, more_y.reshape(cases, -1)], axis=1),
        np.concatenate([np.full_like(pen_x, INK), more_ink], axis=1),
    )


def deposit(x: Floats, y: Floats, amount: Floats) -> Floats:
    """Share the ink of points (n, m) among their four closest pixels, bilinearly: (n, 28, 28).

    The middle of the pixel in row r and column c is (c + ½, r + ½), so that the points' square
    [2, 26]² is in the middle of the image. A spline may leave it; ink outside the image is lost.
    """
    first_column, first_row = np.floor(x - 0.5), np.floor(y - 0.5)
    right, down = x - 0.5 - first_column, y - 0.5 - first_row
    image = np.arange(len(x))[:, None] * SIDE * SIDE
    wet = np.zeros(len(x) * SIDE * SIDE)
    for row, vertical in ((first_row, 1 - down), (first_row + 1, down)):
        for column, horizontal in ((first_column, 1 - right), (first_column + 1, right)):
            inside = (row >= 0) & (row < SIDE) & (column >= 0) & (column < SIDE)
            pixel = (image + row * SIDE + column)[inside].astype(np.intp)
            ink = (amount * vertical * horizontal)[inside]
            wet += np.bincount(pixel, weights=ink, minlength=len(wet))
    return wet.reshape(-1, SIDE, SIDE)


def smear(wet: Floats, spread: float, ink: float) -> Floats:
    """Smear images (n, 28, 28), four times, with the 3×3 kernel of a = `spread`, b = `ink`."""
    edge, corner = spread / 6, spread / 12
    kernel = np.array([[corner, edge, corner], [edge, 1 - spread, edge], [corner, edge, corner]])
    for _ in range(SMEARS):
        wet = convolve(wet, ink * (1 + spread) * kernel[None], mode="constant")
    return wet
