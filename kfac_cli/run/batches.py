"""Where the cases are from which mini-batches are drawn: on the host, or on a GPU if they fit.

The indices are drawn on the host either way, so that the same seed gives the same mini-batches.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from kfac_cli.data.dataset import ROWS_AT_ONCE, Dataset
from kfac_cli.engine.chunks import free_memory

DATA_SHARE = 0.5
"""Fraction of a GPU's free memory for the training set: the rest is for the computations."""

BYTE_SCALES = 255, 1
"""What integers from 0 to 255 may have been divided by."""


class Rows(Protocol):
    """A matrix of cases (N, d), of which some rows at a time are needed."""

    values: Tensor

    @abstractmethod
    def select(self, index: Tensor) -> Tensor:
        """The rows (m, d) of a tensor of indices (m,) on the host."""

    @abstractmethod
    def all(self) -> Tensor:
        """All rows, in their order."""


@dataclass(frozen=True, eq=False)
class HostRows(Rows):
    """Rows in the host's memory; those selected are pinned if a GPU is to copy them."""

    values: Tensor
    pinned: bool = False

    def select(self, index: Tensor) -> Tensor:
        if not self.pinned:
            return self.values[index]
        shape = len(index), self.values.shape[1]
        rows = torch.empty(shape, dtype=self.values.dtype, pin_memory=True)
        return torch.index_select(self.values, 0, index, out=rows)

    def all(self) -> Tensor:
        return self.values


@dataclass(frozen=True, eq=False)
class DeviceRows(Rows):
    """Rows in a device's memory, where indices arrive without waiting for it."""

    values: Tensor

    def select(self, index: Tensor) -> Tensor:
        return self.values.index_select(0, _sent(index, self.values.device))

    def all(self) -> Tensor:
        return self.values


@dataclass(frozen=True, eq=False)
class ByteRows(Rows):
    """Rows in a device's memory as integers from 0 to 255, to be divided by a scale.

    `scale`, 0-dim, is on the device and has the dtype of the rows. Dividing by a number instead
    would multiply by its reciprocal on a GPU, which rounds differently.
    """

    values: Tensor
    scale: Tensor

    def select(self, index: Tensor) -> Tensor:
        return self._decoded(self.values.index_select(0, _sent(index, self.values.device)))

    def all(self) -> Tensor:
        return self._decoded(self.values)

    def _decoded(self, integers: Tensor) -> Tensor:
        return integers.to(self.scale.dtype).div_(self.scale)


@dataclass(frozen=True, eq=False)
class Cases:
    """Inputs and targets; for an autoencoder, `targets` is None: its targets are its inputs."""

    inputs: Rows
    targets: Rows | None

    def __len__(self) -> int:
        return len(self.inputs.values)

    def select(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and targets of some cases: the same tensor for an autoencoder."""
        inputs = self.inputs.select(index)
        return inputs, inputs if self.targets is None else self.targets.select(index)

    def all(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets of all cases: the same tensor for an autoencoder."""
        inputs = self.inputs.all()
        return inputs, inputs if self.targets is None else self.targets.all()


def draw_batch(cases: Cases, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A mini-batch of `size` cases in random order, without replacement."""
    return cases.select(torch.randperm(len(cases), generator=generator)[:size])


def training_cases(dataset: Dataset, device: torch.device) -> Cases:
    """The training cases: on the device if that is a GPU and they fit, otherwise on the host."""
    inputs, targets = dataset.train_inputs, dataset.train_targets
    parts = [inputs] if targets is inputs else [inputs, targets]
    rows: list[Rows]
    if device.type != "cuda":
        rows = [HostRows(part) for part in parts]
    elif fits(sum(map(bytes_needed, parts)), free_memory(device)):
        rows = [on_device(part, device) for part in parts]
    else:
        rows = [HostRows(part, pinned=True) for part in parts]
    return Cases(rows[0], None if targets is inputs else rows[1])


def fits(needed: int, free: int) -> bool:
    """Whether a training set may be on a GPU with so many free bytes."""
    return needed <= DATA_SHARE * free


def bytes_needed(values: Tensor) -> int:
    """What rows take on a device: themselves and a copy, since a mini-batch may have all of them.

    If they are 8-bit integers there, they take less.
    """
    return 2 * values.numel() * values.element_size()


def on_device(values: Tensor, device: torch.device) -> Rows:
    """The rows on a device, as 8-bit integers if nothing is lost by it."""
    for scale in BYTE_SCALES:
        integers = as_bytes(values, scale)
        if integers is not None:
            on_it = torch.tensor(scale, dtype=values.dtype).to(device)
            return ByteRows(integers.to(device), on_it)
    return DeviceRows(values.to(device))


def as_bytes(values: Tensor, scale: int) -> Tensor | None:
    """The integers from 0 to 255 which, divided by `scale`, are exactly `values`; None if none."""
    integers = torch.empty(values.shape, dtype=torch.uint8)
    divisor = torch.tensor(scale, dtype=values.dtype)
    for first in range(0, len(values), ROWS_AT_ONCE):
        source, target = (rows[first : first + ROWS_AT_ONCE] for rows in (values, integers))
        target.copy_((source * scale).round().clamp(0, 255))
        if not torch.equal(target.to(values.dtype).div_(divisor), source):
            return None
    return integers


def _sent(index: Tensor, device: torch.device) -> Tensor:
    """The indices on a device; on a GPU, without waiting for it."""
    if device.type != "cuda":
        return index.to(device)
    return index.pin_memory().to(device, non_blocking=True)
