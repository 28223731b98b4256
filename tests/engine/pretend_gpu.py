"""A GPU that is pretended on any machine: it tells what a real one would wait for or refuse.

Tensors are computed on the CPU, but each is marked as being on the device or on the host. What
would make the host wait for a device is counted, and an operation on tensors of both is refused.
"""

import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

CPU, GPU = torch.device("cpu"), torch.device("cuda")

FETCHES = {
    *("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__"),
    *("__array__", "__contains__", "equal", "allclose", "is_nonzero"),
}
"""Functions that bring values to the host."""

CHECKS = {
    *("linalg_eigh", "linalg_eigvalsh", "linalg_eig", "linalg_svd", "linalg_pinv"),
    *("linalg_inv", "linalg_solve", "linalg_cholesky", "linalg_lstsq", "cholesky", "inverse"),
    *("_linalg_eigh", "nonzero", "argwhere", "masked_select", "unique", "bincount", "multinomial"),
}
"""Functions that read a result on the host: whether they succeeded, or its size."""

WAITS = FETCHES | CHECKS

MOVES = {"to", "copy_", "cpu", "__getitem__", "index_select"}
"""Functions that take tensors of both."""


class PretendGPU(TorchFunctionMode):
    """Counts in `waits` what makes the host wait, by the name of the function.

    Within it, `send` puts tensors on the device, as does `to`; results are where a real device
    would have them. Raises RuntimeError for an operation on tensors of both, as PyTorch does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self._there: dict[int, weakref.ref[Tensor]] = {}

    def send(self, tensor: Tensor) -> Tensor:
        """A copy on the device."""
        return self._mark(tensor.clone())

    def holds(self, tensor: object) -> bool:
        """Whether a tensor is on the device."""
        known = self._there.get(id(tensor))
        return known is not None and known() is tensor

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func == Tensor.device.__get__:  # type: ignore[attr-defined]
            return GPU if self.holds(args[0]) else CPU
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        leaves = [*_leaves(args), *_leaves(kwargs)]
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        there = [tensor for tensor in tensors if self.holds(tensor)]
        if (
            there
            and name not in MOVES
            and any(tensor.dim() and not self.holds(tensor) for tensor in tensors)
        ):
            raise RuntimeError(f"{name}: expected all tensors to be on the same device")
        devices = [torch.device(leaf) for leaf in leaves if _is_device(leaf)]
        to_host = bool(devices) and devices[0].type == "cpu"
        if there and (name in WAITS or to_host or _by_mask(name, args)):
            self.waits.append(name)
        if devices:
            args, kwargs = tree_map(lambda leaf: CPU if _is_device(leaf) else leaf, (args, kwargs))
        result = func(*args, **kwargs)
        target = devices[0].type == "cuda" if devices else bool(there) and name not in FETCHES
        if name in ("to", "cpu") and any(result is tensor for tensor in tensors):
            if self.holds(result) == target:
                return result
            result = result.clone()
        if target:
            for leaf in _leaves(result):
                if isinstance(leaf, Tensor):
                    self._mark(leaf)
        return result

    def _mark(self, tensor: Tensor) -> Tensor:
        self._there[id(tensor)] = weakref.ref(tensor)
        return tensor


def _leaves(values: Any) -> Iterator[Any]:
    """What tuples, lists and dictionaries hold, however deep."""
    if isinstance(values, dict):
        values = values.values()
    elif not isinstance(values, tuple | list):
        yield values
        return
    for value in values:
        yield from _leaves(value)


def _is_device(value: object) -> bool:
    return isinstance(value, torch.device) or (isinstance(value, str) and value in ("cpu", "cuda"))


def _by_mask(name: str, args: Any) -> bool:
    """Whether this is an index by a mask, whose number of elements only the device knows."""
    if name not in ("__getitem__", "__setitem__", "where"):
        return False
    masks = [
        leaf for leaf in _leaves(args[1:]) if isinstance(leaf, Tensor) and leaf.dtype == torch.bool
    ]
    return bool(masks) if name != "where" else len(args) == 1
