"""Objects with their tensors apart, so that processes can send these as a few vectors."""

import io
import pickle
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Layout = tuple[torch.dtype, torch.Size, tuple[int, ...]]
"""The dtype, shape and strides of a tensor."""


@dataclass(frozen=True)
class Parcel:
    """An object without its tensors, pickled, and the layouts of these.

    A tensor keeps its strides, so that products with it round alike in all processes. Pickled
    objects are for processes of the same command only.
    """

    pickled: bytes
    layouts: list[Layout]

    @classmethod
    def of(cls, content: Any) -> tuple["Parcel", list[Tensor]]:
        """The parcel of an object, and its tensors."""
        file = io.BytesIO()
        pickler = _Pickler(file)
        pickler.dump(content)
        layouts = [(each.dtype, each.shape, each.stride()) for each in pickler.tensors]
        return cls(file.getvalue(), layouts), pickler.tensors

    def joined(self, tensors: list[Tensor]) -> dict[torch.dtype, Tensor]:
        """The entries of its tensors, as a vector for each dtype."""
        return {
            dtype: torch.cat([each.reshape(-1) for each in tensors if each.dtype == dtype])
            for dtype in self._sizes()
        }

    def empty(self, device: torch.device) -> dict[torch.dtype, Tensor]:
        """Such vectors, to be filled."""
        sizes = self._sizes().items()
        return {dtype: torch.empty(size, dtype=dtype, device=device) for dtype, size in sizes}

    def content(self, vectors: dict[torch.dtype, Tensor]) -> Any:
        """The object again, with copies of the tensors."""
        parts = {
            dtype: iter(
                torch.split(vector, [s.numel() for kind, s, _ in self.layouts if kind == dtype])
            )
            for dtype, vector in vectors.items()
        }
        tensors = []
        for dtype, shape, stride in self.layouts:
            entries = next(parts[dtype])
            tensor = torch.empty_strided(shape, stride, dtype=dtype, device=entries.device)
            tensors.append(tensor.copy_(entries.view(shape)))
        return _Unpickler(io.BytesIO(self.pickled), tensors).load()

    def _sizes(self) -> dict[torch.dtype, int]:
        """The number of entries for each dtype, in the order of their first tensors."""
        sizes: dict[torch.dtype, int] = {}
        for dtype, shape, _ in self.layouts:
            sizes[dtype] = sizes.get(dtype, 0) + shape.numel()
        return sizes


class _Pickler(pickle.Pickler):
    """Collects tensors, and writes their numbers instead."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.tensors: list[Tensor] = []

    def persistent_id(self, value: Any) -> int | None:
        if not isinstance(value, Tensor):
            return None
        self.tensors.append(value)
        return len(self.tensors) - 1


class _Unpickler(pickle.Unpickler):
    """Reads tensors by their numbers."""

    def __init__(self, file: io.BytesIO, tensors: list[Tensor]) -> None:
        super().__init__(file)
        self._tensors = tensors

    def persistent_load(self, number: int) -> Tensor:
        return self._tensors[number]
