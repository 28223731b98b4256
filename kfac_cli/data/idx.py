"""The user's images and labels, from IDX files."""

import logging
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kfac_cli.data.checks import classes, finite, refuse_no_probabilities, warn_no_test_set
from kfac_cli.data.dataset import Dataset, intensities, leading
from kfac_cli.data.idx_file import read_idx
from kfac_cli.data.options import IdxOptions
from kfac_cli.data.precision import loss_of_inputs, loss_of_targets
from kfac_cli.errors import UserError
from kfac_cli.files import typed_path

logger = logging.getLogger(__name__)

Cases = tuple[torch.Tensor, torch.Tensor, tuple[int, ...]]  # inputs, targets, shape of an image


def load_idx(config: IdxOptions, dtype: str = "float32") -> Dataset:
    """Images (N, d) with one-hot labels (N, c) as targets or, without labels, themselves.

    Without test images, the test cases are the training cases; a warning says so. Raises
    UserError, naming the file, for files that cannot be read or do not fit the network or each
    other.
    """
    inputs, targets, shape = train = _cases(config, "", config.train_cases, dtype)
    test = train
    if config.test_images is not None:
        test = _cases(config, "test_", config.test_cases, dtype)
    else:
        warn_no_test_set("dataset.test_images")
    image_shape = (shape[0], shape[1]) if len(shape) == 2 and config.labels is None else None
    return Dataset("idx", inputs, targets, test[0], test[1], image_shape)


def _cases(config: IdxOptions, part: str, count: int | None, dtype: str) -> Cases:
    """The leading `count` training cases, or those to test on if `part` is "test_"."""
    path, name = getattr(config, f"{part}images"), f"dataset.{part}images"
    raw = read_idx(typed_path(path), name)
    shape, width = raw.shape[1:], config.layer_sizes[0]
    if math.prod(shape) != width or not shape:
        raise UserError(
            f"{path}: has shape {raw.shape}; expected images of {width} pixels, with which "
            f"dataset.layer_sizes begins, for {name}"
        )
    flat = _leading(path, raw.reshape(len(raw), width), count, f"dataset.{part or 'train_'}cases")
    images = intensities(flat) if flat.dtype == np.uint8 else finite(path, flat, dtype)
    if flat.dtype != np.uint8:
        _warn(path, flat, images, dtype, targets=getattr(config, f"{part}labels") is None)
    inputs = torch.from_numpy(images)
    labels = getattr(config, f"{part}labels")
    if labels is None:
        if config.output == "bernoulli":
            refuse_no_probabilities(path, flat, images)
        return inputs, inputs, shape
    digits = read_idx(typed_path(labels), f"dataset.{part}labels")
    if digits.shape != (len(raw),):
        raise UserError(
            f"{labels}: has shape {digits.shape}; expected ({len(raw)},), a label for each image "
            f"in {path}"
        )
    one_hot = classes(labels, leading(digits, count), config.layer_sizes[-1])
    return inputs, torch.from_numpy(one_hot), shape


def _leading(path: str, images: NDArray[Any], count: int | None, setting: str) -> NDArray[Any]:
    if count is not None and count > len(images):
        raise UserError(f"{setting}={count}: must be at most {len(images)}, the images in {path}")
    return leading(images, count)


def _warn(path: str, raw: NDArray[Any], images: NDArray[Any], dtype: str, *, targets: bool) -> None:
    loss = loss_of_inputs(raw, images) or (loss_of_targets(raw, images) if targets else None)
    if loss is not None and dtype == "float32":
        logger.warning(
            "%s: rounding to float32 %s; dtype=float64 keeps the precision of the data", path, loss
        )
