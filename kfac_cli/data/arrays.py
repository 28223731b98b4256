"""The user's arrays, from .npy files or one .npz file."""

import logging
from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kfac_cli.data.array_files import read_array_file
from kfac_cli.data.checks import (
    classes,
    finite,
    refuse,
    refuse_no_probabilities,
    warn_no_test_set,
)
from kfac_cli.data.dataset import Dataset
from kfac_cli.data.options import ArraysOptions
from kfac_cli.data.precision import loss_of_inputs, loss_of_targets
from kfac_cli.errors import UserError, shown

logger = logging.getLogger(__name__)

INPUTS = ("train_inputs", "test_inputs")
TARGETS = ("train_targets", "test_targets")
PROBABILITY_SUM_TOLERANCE = 1e-3
MAX_NAMES = 8  # of an archive in a message
REAL_KINDS = "buif"  # numpy's codes for booleans, unsigned and signed integers, and floats

Sources = dict[str, tuple[str, NDArray[Any]]]  # name to its label in messages and the array


def load_arrays(config: ArraysOptions, dtype: str = "float32") -> Dataset:
    """The user's inputs (N, d_0) and targets (N, d_l); without targets, an autoencoder problem.

    Without a test set, the test cases are the training cases. Values keep their precision up to
    `dtype`; a warning tells what rounding to float32 loses. For categorical outputs, targets are
    class probabilities (N, d_l) or labels (N,), which are converted; with one output, targets may
    have the shape (N,). Raises UserError, naming the file, the error and what was expected, for
    unreadable files, wrong dtypes, shapes or numbers of cases, values that are not finite, and
    targets outside the range of the output.
    """
    sources = _read_paths(config) if config.file is None else _read_archive(config.file)
    first, last = config.layer_sizes[0], config.layer_sizes[-1]
    supervised = "train_targets" in sources
    if not supervised and config.output == "categorical":
        raise UserError(
            f"{config.file or 'dataset'}: has no train_targets, which "
            "dataset.output=categorical needs: labels or class probabilities"
        )
    if not supervised and first != last:
        raise UserError(
            f"dataset.layer_sizes: begins with {first} and ends with {last}; must begin and end "
            "with the same, since without targets the network reproduces its inputs"
        )
    losses: list[str] = []
    train_inputs, train_targets = _cases("train", sources, config, dtype, losses)
    test_inputs, test_targets = train_inputs, train_targets
    if "test_inputs" in sources:
        test_inputs, test_targets = _cases("test", sources, config, dtype, losses)
    else:
        warn_no_test_set(config.file or "dataset.test_inputs")
    if losses and dtype == "float32":
        logger.warning("%s; dtype=float64 keeps the precision of the data", "; ".join(losses))
    return Dataset(
        "arrays", train_inputs, train_targets, test_inputs, test_targets, config.image_shape
    )


def _read_paths(config: ArraysOptions) -> Sources:
    sources = {}
    for name in (*INPUTS, *TARGETS):
        path = getattr(config, name)
        if path is not None:
            array = read_array_file(path, f"dataset.{name}", ())
            if not isinstance(array, np.ndarray):
                raise UserError(
                    f"{path}: holds several arrays; expected a .npy file for dataset.{name}, or "
                    "give this one as dataset.file"
                )
            sources[name] = (path, array)
    return sources


def _read_archive(path: str) -> Sources:
    known = (*INPUTS, *TARGETS)
    arrays = read_array_file(path, "dataset.file", known)
    if isinstance(arrays, np.ndarray):
        raise UserError(
            f"{path}: holds a single array; expected an .npz file for dataset.file, or give this "
            "one as dataset.train_inputs"
        )
    for name in arrays:
        if name not in known and (near := get_close_matches(name, known, n=1)):
            raise UserError(
                f"{path}: holds {shown(name)}; expected {near[0]}: write it by that name with "
                "numpy.savez"
            )
    sources = {name: (f"{path}: {name}", arrays[name]) for name in known if name in arrays}
    if set(sources) not in ({*INPUTS[:1]}, {*INPUTS}, {INPUTS[0], TARGETS[0]}, {*known}):
        raise UserError(
            f"{path}: holds {_names(arrays)}; must have train_inputs and, except to reproduce "
            "them, train_targets; for a test set also test_inputs and, with train_targets, "
            "test_targets: write them by these names with numpy.savez"
        )
    return {name: (label, array) for name, (label, array) in sources.items() if array is not None}


def _names(arrays: Collection[str]) -> str:
    """The names of an archive's arrays, for a message."""
    names = [shown(name) for name in arrays]
    more = [f"{len(names) - MAX_NAMES} more"] if len(names) > MAX_NAMES else []
    return " and ".join(filter(None, [", ".join(names[:MAX_NAMES]), *more])) or "no arrays"


def _cases(
    part: str, sources: Sources, config: ArraysOptions, dtype: str, losses: list[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Checked inputs and targets of "train" or "test"; one tensor twice if they are the same.

    What rounding loses is added to `losses`.
    """
    label, raw = sources[f"{part}_inputs"]
    inputs = targets = _checked(label, raw, config.layer_sizes[0], dtype)
    loss = loss_of_inputs(raw, inputs)
    if f"{part}_targets" in sources:
        losses += [] if loss is None else [f"{label}: rounding to float32 {loss}"]
        inputs_label = label
        label, raw = sources[f"{part}_targets"]
        if raw.ndim == 1 and config.layer_sizes[-1] == 1 and config.output != "categorical":
            raw = raw[:, None]
        targets = _targets(label, raw, config, dtype)
        loss = None
        if len(targets) != len(inputs):
            raise UserError(
                f"{label}: has {len(targets)} cases; expected {len(inputs)}, as in {inputs_label}"
            )
    if raw.shape == targets.shape:  # and not labels
        loss = loss or loss_of_targets(raw, targets)
    losses += [] if loss is None else [f"{label}: rounding to float32 {loss}"]
    if config.output == "bernoulli":
        refuse_no_probabilities(label, raw, targets)
    tensor = torch.from_numpy(inputs)
    return tensor, tensor if targets is inputs else torch.from_numpy(targets)


def _targets(label: str, raw: NDArray[Any], config: ArraysOptions, dtype: str) -> NDArray[Any]:
    """Checked targets (N, d_l); labels for categorical outputs become one-hot rows."""
    width = config.layer_sizes[-1]
    if config.output != "categorical":
        alternative = "or labels (cases,) for dataset.output=categorical"
        return _checked(label, raw, width, dtype, alternative)
    if raw.ndim == 1 and len(raw) > 0 and raw.dtype.kind in REAL_KINDS:
        return classes(label, raw, width)
    rows = _checked(label, raw, width, dtype, "or labels (cases,)")
    refuse(label, raw, rows < 0, "a class probability, which is not negative")
    sums = rows.sum(axis=1, dtype=np.float64)
    wrong = np.abs(sums - 1) > PROBABILITY_SUM_TOLERANCE
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UserError(
            f"{label}: row {row} (counted from 0) sums to {sums[row]:g}; expected class "
            "probabilities, which sum to 1, or labels in an array of shape (cases,)"
        )
    return rows


def _checked(
    label: str, raw: NDArray[Any], width: int, dtype: str, alternative: str = ""
) -> NDArray[Any]:
    """The array as floats; raises UserError if its shape is wrong or a value is not finite."""
    if raw.dtype.kind not in REAL_KINDS:
        raise UserError(f"{label}: has dtype {raw.dtype}; expected real numbers, such as float32")
    if raw.ndim != 2 or raw.shape[1] != width or len(raw) == 0:
        shapes = f"(cases, {width}) {alternative}".rstrip()
        raise UserError(
            f"{label}: has shape {raw.shape}; expected {shapes}, with the width that "
            "dataset.layer_sizes gives and at least one case"
        )
    return finite(label, raw, dtype)
