"""The images that the example network classifies: MNIST's digits, shrunk."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kfac_cli.data.dataset import one_hot
from kfac_cli.data.mnist import load_mnist_labels, missing_files
from kfac_cli.data.options import DIGITS, MnistLabelsOptions, MnistOptions
from kfac_cli.paper.study import Scale

SIDE = 16
"""Pixels of a side, as in figure 2."""

SMALL_CASES = 5000

FILE = "images.npz"


@dataclass(frozen=True)
class Images:
    """Inputs (N, pixels) from 0 to 1 and one-hot digits (N, 10).

    `note` says where they are from.
    """

    inputs: NDArray[np.float32]
    targets: NDArray[np.float32]
    note: str

    def save(self, path: Path) -> None:
        """Write them as an .npz file that `dataset=arrays` reads."""
        np.savez_compressed(path, train_inputs=self.inputs, train_targets=self.targets)


def load_images(data_dir: Path, scale: Scale) -> Images:
    """MNIST's training images, all of them or the first 5000 at small scale, in 16 x 16 pixels.

    Where MNIST is absent, the 1797 images of 8 x 8 pixels that scikit-learn brings along take its
    place at small scale; at full scale it is downloaded. Raises UserError if that fails.
    """
    if scale is Scale.SMALL and missing_files(data_dir):
        return _scikit_learn()
    count = SMALL_CASES if scale is Scale.SMALL else None
    options = MnistLabelsOptions(
        name="mnist_labels",
        output="categorical",
        layer_sizes=(MnistOptions.SIDE**2, DIGITS),
        activations=(),
        train_cases=count,
        test_cases=1,
    )
    data = load_mnist_labels(options, data_dir)
    images = shrunk(data.train_inputs, MnistOptions.SIDE, SIDE)
    which = "all" if count is None else "the first"
    note = f"{which} {len(images):,} training images of MNIST, shrunk to {SIDE} x {SIDE} pixels"
    return Images(images.numpy(), data.train_targets.numpy(), note)


def shrunk(images: torch.Tensor, before: int, after: int) -> torch.Tensor:
    """Images (N, before²) as (N, after²), each pixel the mean over the area that it covers."""
    weights = torch.from_numpy(_overlaps(before, after)).to(images.dtype)
    square = images.reshape(-1, before, before)
    return (weights @ square @ weights.T).reshape(len(images), -1)


def _overlaps(before: int, after: int) -> NDArray[np.float64]:
    """The part of each of `after` intervals that each of `before` covers, all of equal length."""
    edges = np.arange(after + 1) * before / after
    cells = np.arange(before)
    low = np.maximum(edges[:-1, None], cells)
    high = np.minimum(edges[1:, None], cells + 1)
    overlaps: NDArray[np.float64] = np.maximum(high - low, 0) * after / before
    return overlaps


def _scikit_learn() -> Images:
    from sklearn.datasets import load_digits

    digits = load_digits()
    inputs = (digits.data / 16).astype(np.float32)
    note = (
        f"the {len(inputs):,} digits of 8 x 8 pixels that scikit-learn has, since MNIST is absent "
        "(kfac-run dataset=mnist downloads it)"
    )
    return Images(inputs, one_hot(digits.target, DIGITS), note)
