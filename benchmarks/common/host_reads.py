"""How often some work makes the host wait for its device, counted on any device."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

READS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.equal.default)
"""The operators that give Python a number."""


def host_reads(work: Callable[[], object]) -> int:
    """The number of times that a call reads numbers or tensors from the device.

    On a CPU only numbers count, since a tensor is there already.
    """
    with _HostReads() as counter:
        work()
    return counter.count


class _HostReads(TorchDispatchMode):
    """Counts the operators that give Python a number, and copies to the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.count += func in READS or _copied_to_host(args, result)
        return result


def _copied_to_host(args: tuple[Any, ...], result: Any) -> bool:
    if not isinstance(result, Tensor) or result.device.type != "cpu":
        return False
    return any(isinstance(value, Tensor) and value.device.type != "cpu" for value in args)
