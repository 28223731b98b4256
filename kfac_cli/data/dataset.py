"""The common form of all datasets."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test cases, one per row, float32, on the CPU.

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


def leading(cases: NDArray[Any], count: int | None) -> NDArray[Any]:
    """The first `count` cases, or all if None; a copy, so that the rest can be freed."""
    return cases if count is None or count == len(cases) else cases[:count].copy()


def one_hot(labels: NDArray[Any], classes: int) -> NDArray[np.float32]:
    """One-hot rows (N, classes) for labels 0 … classes-1."""
    rows = np.zeros((len(labels), classes), dtype=np.float32)
    rows[np.arange(len(labels)), labels.astype(np.int64)] = 1
    return rows
