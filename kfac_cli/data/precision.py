"""Rounding of data to the precision of a run, and what is lost by it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kfac_cli.data.dataset import ROWS_AT_ONCE

TARGET_TOLERANCE = 1e-6
"""Root mean square of the rounding errors of a target, over its standard deviation."""

INPUT_TOLERANCE = 1e-3
"""The same for an input, which is computed with in the run's precision anyway."""


def rounded(raw: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Real numbers as float32 or, if that changes some and `dtype` is float64, as float64.

    Contiguous. Values beyond the range become infinite.
    """
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(raw, dtype=np.float32)
        if dtype == "float32" or _exact(raw, single):
            return single
        return np.ascontiguousarray(raw, dtype=np.float64)


def loss_of_inputs(raw: NDArray[Any], array: NDArray[Any]) -> str | None:
    """What rounding the inputs `raw` (N, d) to `array` loses, in words; None for nothing.

    It loses something if it makes distinct rows equal, or hides a column's differences.
    """
    if _exact(raw, array):
        return None
    before, after = _distinct_rows(raw), _distinct_rows(array)
    if after < before:
        return f"leaves {after} of its {before} distinct rows"
    return _loss_of_columns(raw, array, INPUT_TOLERANCE)


def loss_of_targets(raw: NDArray[Any], array: NDArray[Any]) -> str | None:
    """What rounding the targets `raw` (N, d) to `array` loses, in words; None for nothing."""
    return None if _exact(raw, array) else _loss_of_columns(raw, array, TARGET_TOLERANCE)


def _exact(raw: NDArray[Any], array: NDArray[Any]) -> bool:
    return np.can_cast(raw.dtype, array.dtype) or all(
        np.array_equal(before, after) for before, after in _blocks(raw, array)
    )


def _blocks(*arrays: NDArray[Any]) -> Iterator[tuple[NDArray[Any], ...]]:
    for first in range(0, len(arrays[0]), ROWS_AT_ONCE):
        yield tuple(array[first : first + ROWS_AT_ONCE] for array in arrays)


def _distinct_rows(array: NDArray[Any]) -> int:
    """The number of different rows, by their hashes; 0 and -0 are the same."""
    hashes: set[int] = set()
    for (block,) in _blocks(array):
        hashes.update(hash(row.tobytes()) for row in np.ascontiguousarray(block + 0))
    return len(hashes)


def _loss_of_columns(raw: NDArray[Any], array: NDArray[Any], tolerance: float) -> str | None:
    shares = _error_shares(raw, array)
    column = int(np.argmax(shares))
    if not shares[column] > tolerance:
        return None
    return f"moves column {column} (counted from 0) by {shares[column]:.2g} of its spread"


def _error_shares(raw: NDArray[Any], array: NDArray[Any]) -> NDArray[np.float64]:
    """Of each column, the root mean square of the errors over the standard deviation of `raw`.

    0 for a constant column.
    """
    origin = raw[0].astype(np.float64)
    moments = np.zeros((3, raw.shape[1]))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for before, after in _blocks(raw, array):
            values = before.astype(np.float64)
            errors = after - values
            values -= origin
            moments += (values.sum(0), np.square(values).sum(0), np.square(errors).sum(0))
        mean, square, error = moments / len(raw)
        shares: NDArray[np.float64] = np.sqrt(error / (square - np.square(mean)))
    return np.where(square > 0, shares, 0.0)
