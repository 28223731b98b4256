"""How often some work makes the host wait for its device, counted on any device."""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.common.operators import Call, watch

READS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.equal.default)
"""The operators that give Python a number."""


def host_reads(work: Callable[[], object]) -> int:
    """The number of times that a call reads numbers or tensors from the device.

    On a CPU only numbers count, since a tensor is there already.
    """
    calls: list[bool] = []
    watch(work, lambda call: calls.append(call.operator in READS or _copies_to_host(call)))
    return sum(calls)


def _copies_to_host(call: Call) -> bool:
    if not isinstance(call.result, Tensor) or call.result.device.type != "cpu":
        return False
    return any(isinstance(value, Tensor) and value.device.type != "cpu" for value in call.arguments)
