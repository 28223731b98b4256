"""The user's arrays, from .npy files or one .npz file."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kfac_cli.data.dataset import Dataset, one_hot
from kfac_cli.data.options import ArraysOptions
from kfac_cli.errors import UserError
from kfac_cli.files import open_file

INPUTS = ("train_inputs", "test_inputs")
TARGETS = ("train_targets", "test_targets")
PROBABILITY_SUM_TOLERANCE = 1e-3
REAL_KINDS = "buif"  # numpy's codes for booleans, unsigned and signed integers, and floats

Sources = dict[str, tuple[str, NDArray[Any]]]  # name to its label in messages and the array


def load_arrays(config: ArraysOptions) -> Dataset:
    """The user's inputs (N, d_0) and targets (N, d_l); without targets, an autoencoder problem.

    For categorical outputs, targets are class probabilities (N, d_l) or labels (N,), which are
    converted. Raises UserError, naming the file, the error and what was expected, for unreadable
    files, wrong dtypes, shapes or numbers of cases, values that are not finite, and targets outside
    the range of the output.
    """
    sources = _read_paths(config) if config.file is None else _read_archive(config.file)
    if set(sources) not in ({*INPUTS}, {*INPUTS, *TARGETS}):
        raise UserError(
            f"{config.file or 'dataset'}: has {', '.join(sources) or 'none of the arrays'}; must "
            f"have {' and '.join(INPUTS)}, and either both or neither of {' and '.join(TARGETS)}"
        )
    first, last = config.layer_sizes[0], config.layer_sizes[-1]
    if len(sources) == len(INPUTS) and config.output == "categorical":
        raise UserError(
            f"{config.file or 'dataset'}: has no {' and '.join(TARGETS)}, which "
            "dataset.output=categorical needs: labels or class probabilities"
        )
    if len(sources) == len(INPUTS) and first != last:
        raise UserError(
            f"dataset.layer_sizes: begins with {first} and ends with {last}; must begin and end "
            "with the same, since without targets the network reproduces its inputs"
        )
    train_inputs, train_targets = _cases("train", sources, config)
    test_inputs, test_targets = _cases("test", sources, config)
    return Dataset(
        "arrays", train_inputs, train_targets, test_inputs, test_targets, config.image_shape
    )


def _read_paths(config: ArraysOptions) -> Sources:
    sources = {}
    for name in (*INPUTS, *TARGETS):
        path = getattr(config, name)
        if path is not None:
            array = _read(path, f"dataset.{name}")
            if not isinstance(array, np.ndarray):
                raise UserError(
                    f"{path}: holds several arrays; expected a .npy file for dataset.{name}, or "
                    "give this one as dataset.file"
                )
            sources[name] = (path, array)
    return sources


def _read_archive(path: str) -> Sources:
    arrays = _read(path, "dataset.file")
    if isinstance(arrays, np.ndarray):
        raise UserError(
            f"{path}: holds a single array; expected an .npz file for dataset.file, or give this "
            "one as dataset.train_inputs"
        )
    return {name: (f"{path}: {name}", array) for name, array in arrays.items()}


def _read(path: str, setting: str) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """The array in a .npy file, or those of the four names in an .npz file."""
    try:
        # numpy leaves a damaged file open that it opened itself
        with open_file(Path(path).expanduser()) as stream:
            loaded = np.load(stream, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            return {name: loaded[name] for name in (*INPUTS, *TARGETS) if name in loaded}
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; give the path of one as {setting}") from error
    # A damaged file can make zipfile and numpy raise almost anything, down to MemoryError.
    except Exception as error:
        reason = textwrap.shorten(str(error), 200, placeholder=" ...") or type(error).__name__
        raise UserError(
            f"{path}: cannot be read ({reason}); expected a whole file for {setting}, written by "
            "numpy.save or numpy.savez without pickled objects"
        ) from error


def _cases(part: str, sources: Sources, config: ArraysOptions) -> tuple[torch.Tensor, torch.Tensor]:
    """Checked inputs and targets of "train" or "test"; one tensor twice if they are the same."""
    label, raw = sources[f"{part}_inputs"]
    inputs = targets = _checked(label, raw, config.layer_sizes[0])
    if f"{part}_targets" in sources:
        inputs_label = label
        label, raw = sources[f"{part}_targets"]
        targets = _targets(label, raw, config)
        if len(targets) != len(inputs):
            raise UserError(
                f"{label}: has {len(targets)} cases; expected {len(inputs)}, as in {inputs_label}"
            )
    if config.output == "bernoulli":
        _refuse(
            label,
            raw,
            (targets < 0) | (targets > 1),
            "a number in [0, 1], which dataset.output=bernoulli needs of its targets",
        )
    tensor = torch.from_numpy(inputs)
    return tensor, tensor if targets is inputs else torch.from_numpy(targets)


def _targets(label: str, raw: NDArray[Any], config: ArraysOptions) -> NDArray[np.float32]:
    """Checked targets (N, d_l); labels for categorical outputs become one-hot rows."""
    width = config.layer_sizes[-1]
    if config.output != "categorical":
        return _checked(label, raw, width, "or labels (cases,) for dataset.output=categorical")
    if raw.ndim == 1 and len(raw) > 0 and raw.dtype.kind in REAL_KINDS:
        with np.errstate(invalid="ignore"):
            wrong = ~((raw >= 0) & (raw < width) & (raw == np.floor(raw)))
        classes = f"{width} classes is what dataset.layer_sizes ends with"
        _refuse(label, raw, wrong, f"a label, a whole number from 0 to {width - 1}; {classes}")
        return one_hot(raw, width)
    rows = _checked(label, raw, width, "or labels (cases,)")
    _refuse(label, raw, rows < 0, "a class probability, which is not negative")
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
    label: str, raw: NDArray[Any], width: int, alternative: str = ""
) -> NDArray[np.float32]:
    """The array as float32; raises UserError if its shape is wrong or a value is not finite."""
    if raw.dtype.kind not in REAL_KINDS:
        raise UserError(f"{label}: has dtype {raw.dtype}; expected real numbers, such as float32")
    if raw.ndim != 2 or raw.shape[1] != width or len(raw) == 0:
        shapes = f"(cases, {width}) {alternative}".rstrip()
        raise UserError(
            f"{label}: has shape {raw.shape}; expected {shapes}, with the width that "
            "dataset.layer_sizes gives and at least one case"
        )
    with np.errstate(over="ignore"):  # too large for float32: becomes infinite, and is refused
        array = np.ascontiguousarray(raw, dtype=np.float32)
    _refuse(label, raw, ~np.isfinite(array), "a finite number within the range of float32")
    return array


def _refuse(label: str, raw: NDArray[Any], wrong: NDArray[np.bool_], expected: str) -> None:
    """Raise UserError for the first value that is marked wrong."""
    if wrong.any():
        place = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        where = ", ".join(
            f"{name} {index}" for name, index in zip(("row", "column"), place, strict=False)
        )
        raise UserError(f"{label}: {raw[place]} in {where} (counted from 0); expected {expected}")
