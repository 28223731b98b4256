"""The matrix products that some work makes, recorded and made again bare, without anything else.

A recorded product is repeated by the same operator on matrices of the same shape and layout, so it
takes the same path, whichever library that is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.common.operators import Call, watch

SMALLEST = 5
"""A product with a dimension below this is an inner product or a linear combination."""

FIRST_FACTOR = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1, "_linear_pointwise": 0}
"""The operators that make products, and which argument is the first factor."""


@dataclass(frozen=True)
class Product:
    """One product: the operator, its arguments (tensors as empty stand-ins) and its size."""

    operator: Callable[..., Any]
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    multiply_adds: int


def recorded(work: Callable[[], object]) -> list[Product]:
    """The products that a call makes in this thread."""
    products: list[Product] = []

    def record(call: Call) -> None:
        place = FIRST_FACTOR.get(call.name)
        if place is None:
            return
        size = _multiply_adds(call.arguments[place], call.result)
        if size is not None:
            arguments = tuple(map(_stand_in, call.arguments))
            named = {name: _stand_in(value) for name, value in call.named.items()}
            products.append(Product(call.operator, arguments, named, size))

    watch(work, record)
    return products


def total_multiply_adds(products: Sequence[Product]) -> int:
    """The multiply-adds of all products together."""
    return sum(product.multiply_adds for product in products)


class Bare:
    """Recorded products, to be made again and again on random matrices.

    Matrices of the same shape and layout share their memory.
    """

    def __init__(self, products: Sequence[Product], device: str = "cpu") -> None:
        self._device = device
        self._matrices: dict[tuple[object, ...], Tensor] = {}
        self._calls = [
            (
                product.operator,
                tuple(self._real(value) for value in product.arguments),
                {name: self._real(value) for name, value in product.named.items()},
            )
            for product in products
        ]

    def __call__(self) -> None:
        """Make all products once."""
        for operator, arguments, named in self._calls:
            operator(*arguments, **named)

    def _real(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        key = (value.shape, value.stride(), value.dtype)
        if key not in self._matrices:
            span = 1 + sum((n - 1) * s for n, s in zip(value.shape, value.stride(), strict=True))
            generator = torch.Generator().manual_seed(0)
            memory = torch.rand(span, generator=generator, dtype=value.dtype).to(self._device)
            self._matrices[key] = memory.as_strided(value.shape, value.stride())
        return self._matrices[key]


def _multiply_adds(first: Tensor, result: Tensor) -> int | None:
    """The size of a product, None if it is too narrow; `result` is (…, n, k), `first` (…, n, m)."""
    inner, (rows, columns) = first.shape[-1], result.shape[-2:]
    if min(inner, rows, columns) < SMALLEST:
        return None
    return int(result.numel()) * int(inner)


def _stand_in(value: Any) -> Any:
    """A stand-in without memory for a tensor, in shape, layout and dtype."""
    if not isinstance(value, Tensor):
        return value
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
