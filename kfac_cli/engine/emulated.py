"""Products in bfloat16 that the processor does not have, and float32 in their place."""

import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

X86 = ("x86_64", "AMD64")
"""Names of the processors whose products in bfloat16 need AVX-512."""


def without_emulated_bfloat16(device: torch.device) -> AbstractContextManager[object]:
    """A context in which tensors stay in float32 where products in bfloat16 would be emulated.

    torch's Muon orthogonalises its updates in bfloat16 on every device. On an x86 CPU without
    AVX-512 that takes many times as long as in float32, which changes nothing but rounding errors.
    """
    own = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    if device.type != "cpu" or platform.machine() not in X86 or own:
        return nullcontext()
    return _InFloat32()


class _InFloat32(TorchFunctionMode):
    """Tensor.bfloat16() returns a copy in float32."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.Tensor.bfloat16:
            return args[0].to(torch.float32, copy=True)
        return func(*args, **(kwargs or {}))
