"""How matrix products are made: every large product of the engine goes through `Products`.

A network and a curvature hold one of these, which is never changed, and `matmul.py` chooses it.
Nothing is set for the whole process but, on a GPU, for the time of one product.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar, Protocol

import torch
from torch import Tensor

Multiply = Callable[[Tensor, Tensor], Tensor]

NARROW = 128
"""Products with a side below this stay with torch: oneDNN would copy as much as it multiplies."""

SMALL = 2**23
"""Products of fewer multiply-adds stay with torch.

A call of oneDNN takes 30 to 40 microseconds more than one of BLAS; where oneDNN is twice as fast, a
multiply-add gains about 5 picoseconds on two cores.
"""


class Products(Protocol):
    """Products of real matrices, plain or transposed views or parts of others; of any size."""

    name: ClassVar[str]
    """The value of the setting `matmul` that asks for it."""

    @abstractmethod
    def multiply(self, left: Tensor, right: Tensor) -> Tensor:
        """A B, (m, n), for A (m, k) and B (k, n)."""

    @abstractmethod
    def write(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        """Write A B to `out` (m, n)."""

    @abstractmethod
    def add(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        """Add A B to `out` (m, n), in place."""

    def chain(self, first: Tensor, *others: Tensor) -> Tensor:
        """A B C …, from left to right."""
        return reduce(self.multiply, others, first)


@dataclass(frozen=True)
class Blas(Products):
    """torch's own products: on a CPU those of the BLAS that it was built with."""

    name = "blas"

    def multiply(self, left: Tensor, right: Tensor) -> Tensor:
        return left @ right

    def write(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        torch.matmul(left, right, out=out)

    def add(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        out.addmm_(left, right)


BLAS = Blas()
"""The products of whoever does not choose."""


@dataclass(frozen=True)
class OneDnn(Products):
    """Products of large float32 matrices on a CPU by the oneDNN in torch; all others as torch does.

    `linear` is the product A Wᵀ that `onednn_linear` returns.
    """

    linear: Multiply

    name = "onednn"

    def multiply(self, left: Tensor, right: Tensor) -> Tensor:
        if not _is_large(left, right):
            return BLAS.multiply(left, right)
        return self.linear(left, _dense(right).T)

    def write(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        if _is_large(left, right):
            out.copy_(self.multiply(left, right))
        else:
            BLAS.write(left, right, out)

    def add(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        if _is_large(left, right):
            out.add_(self.multiply(left, right))
        else:
            BLAS.add(left, right, out)


@dataclass(frozen=True)
class Tf32(Products):
    """torch's products of float32 matrices on a GPU, with factors rounded to 10 bits (TF32)."""

    name = "tf32"

    def multiply(self, left: Tensor, right: Tensor) -> Tensor:
        with _tf32_allowed():
            return BLAS.multiply(left, right)

    def write(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        with _tf32_allowed():
            BLAS.write(left, right, out)

    def add(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        with _tf32_allowed():
            BLAS.add(left, right, out)


def onednn_linear() -> Multiply | None:
    """The product A Wᵀ by the oneDNN in torch, for float32 on a CPU; None where torch has none.

    W must be dense, or the transpose of a dense matrix: for any other, oneDNN falls back to a
    reference implementation that takes a thousand times as long.
    """
    operator = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if operator is None:
        return None

    def linear(left: Tensor, weights: Tensor) -> Tensor:
        product: Tensor = operator(left, weights, None, "none", [], "")
        return product

    return linear


def _is_large(left: Tensor, right: Tensor) -> bool:
    """Whether oneDNN takes this product, and takes less time for it."""
    if left.dtype != torch.float32 or left.device.type != "cpu" or left.ndim + right.ndim != 4:
        return False
    sides: list[int] = [*left.shape, right.shape[1]]
    return min(sides) >= NARROW and math.prod(sides) >= SMALL


def _dense(matrix: Tensor) -> Tensor:
    """The matrix, copied unless it or its transpose is contiguous."""
    return matrix if matrix.T.is_contiguous() else matrix.contiguous()


@contextmanager
def _tf32_allowed() -> Iterator[None]:
    """Let cuBLAS round factors to TF32, until the end of the block."""
    switch = torch.backends.cuda.matmul
    # Older versions of torch have no fp32_precision; newer ones refuse to mix it with allow_tf32.
    newer = hasattr(switch, "fp32_precision")
    name, value = ("fp32_precision", "tf32") if newer else ("allow_tf32", True)
    before = getattr(switch, name)
    setattr(switch, name, value)
    try:
        yield
    finally:
        setattr(switch, name, before)
