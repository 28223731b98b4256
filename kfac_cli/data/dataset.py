"""The common form of all datasets."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

ROWS_AT_ONCE = 4096
"""Rows that are converted or checked together, which bounds the memory that this takes."""

PARTS = ("train_inputs", "train_targets", "test_inputs", "test_targets")

Fingerprint = dict[str, dict[str, Any]]
"""Name of a dataset's tensor to its `shape` and `sha256`, for float64 also `sha256_float32`."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test cases, one per row, float32 or float64, on the CPU.

    Shapes: inputs (N, d_0), targets (N, d_l). An autoencoder's targets are the same tensor objects
    as its inputs. `image_shape` is (height, width) if cases are images, otherwise None.
    """

    name: str
    train_inputs: torch.Tensor
    train_targets: torch.Tensor
    test_inputs: torch.Tensor
    test_targets: torch.Tensor
    image_shape: tuple[int, int] | None

    @classmethod
    def autoencoder(
        cls,
        name: str,
        train: NDArray[np.float32],
        test: NDArray[np.float32],
        image_shape: tuple[int, int] | None,
    ) -> Self:
        """A dataset whose targets are its inputs (N, d); the tensors share the arrays' memory."""
        train_inputs, test_inputs = torch.from_numpy(train), torch.from_numpy(test)
        return cls(name, train_inputs, train_inputs, test_inputs, test_inputs, image_shape)

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Shape and SHA-256 of each tensor, and SHA-256 when rounded to float32; computed once."""
        known: dict[int, dict[str, Any]] = {}
        for tensor in (getattr(self, name) for name in PARTS):
            if id(tensor) not in known:  # an autoencoder's targets are its inputs
                known[id(tensor)] = {"shape": list(tensor.shape), **_checksums(tensor)}
        return {name: known[id(getattr(self, name))] for name in PARTS}


def leading(cases: NDArray[Any], count: int | None) -> NDArray[Any]:
    """The first `count` cases, or all if None; a copy, so that the rest can be freed."""
    return cases if count is None or count == len(cases) else cases[:count].copy()


def intensities(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Bytes as numbers from 0 to 1."""
    return pixels.astype(np.float32) / np.float32(255)


def one_hot(labels: NDArray[Any], classes: int) -> NDArray[np.float32]:
    """One-hot rows (N, classes) for labels 0 … classes-1."""
    rows = np.zeros((len(labels), classes), dtype=np.float32)
    rows[np.arange(len(labels)), labels.astype(np.int64)] = 1
    return rows


def _checksums(tensor: torch.Tensor) -> dict[str, str]:
    exact = {"sha256": _sha256(tensor, tensor.dtype)}
    if tensor.dtype == torch.float32:
        return exact
    return exact | {"sha256_float32": _sha256(tensor, torch.float32)}


def _sha256(tensor: torch.Tensor, dtype: torch.dtype) -> str:
    """The checksum of the values in memory, converted to `dtype` in parts."""
    checksum = hashlib.sha256()
    for rows in torch.split(tensor, ROWS_AT_ONCE):
        values = rows.to(dtype).contiguous().reshape(-1).numpy()
        checksum.update(values.data.cast("B"))
    return checksum.hexdigest()
