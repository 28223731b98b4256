"""Checks of the user's values, with the place of the first that is wrong."""

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kfac_cli.data.dataset import one_hot
from kfac_cli.data.precision import rounded
from kfac_cli.errors import UserError

logger = logging.getLogger(__name__)


def warn_no_test_set(where: str) -> None:
    """Warn, naming the file or the setting, that the training cases are the test cases too."""
    logger.warning("%s: no test set; test errors will be those of the training cases", where)


def refuse(label: str, raw: NDArray[Any], wrong: NDArray[np.bool_], expected: str) -> None:
    """Raise UserError for the first value that is marked wrong."""
    if wrong.any():
        place = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        where = ", ".join(
            f"{name} {index}" for name, index in zip(("row", "column"), place, strict=False)
        )
        raise UserError(f"{label}: {raw[place]} in {where} (counted from 0); expected {expected}")


def finite(label: str, raw: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Real numbers (N, d) in the precision of the run, `rounded`.

    Raises UserError for a value that is not finite there.
    """
    array = rounded(raw, dtype)
    refuse(label, raw, ~np.isfinite(array), f"a finite number within the range of {dtype}")
    return array


def refuse_no_probabilities(label: str, raw: NDArray[Any], targets: NDArray[Any]) -> None:
    """Raise UserError for a target outside [0, 1]."""
    expected = "a number in [0, 1], which dataset.output=bernoulli needs of its targets"
    refuse(label, raw, (targets < 0) | (targets > 1), expected)


def classes(label: str, raw: NDArray[Any], width: int) -> NDArray[np.float32]:
    """One-hot rows (N, width) for labels (N,) of real numbers.

    Raises UserError for what is not a whole number from 0 to width - 1.
    """
    with np.errstate(invalid="ignore"):
        wrong = ~((raw >= 0) & (raw < width) & (raw == np.floor(raw)))
    known = f"{width} classes is what dataset.layer_sizes ends with"
    refuse(label, raw, wrong, f"a label, a whole number from 0 to {width - 1}; {known}")
    return one_hot(raw, width)
