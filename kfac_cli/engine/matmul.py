"""The choice of matrix products: by the processor and a check of accuracy, never by a stopwatch.

So the same machine always decides alike, and no product has fewer than float32's bits unasked.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kfac_cli.engine.declaration import OptionError
from kfac_cli.engine.products import BLAS, Multiply, OneDnn, Products, Tf32, onednn_linear

AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"})
"""The instruction sets, as Linux calls them, from which oneDNN uses AVX-512."""

CHECKED_SIZE = 256
"""Size of the matrices whose product is checked: large enough for the kernels of larger ones."""

MAX_ERROR = 2e-6
"""Largest relative error of that product, in the Frobenius norm.

float32 makes errors of 2e-7 to 4e-7; factors rounded to TF32 or bfloat16 make 3e-4 and 2e-3.
"""

TF32_CAPABILITY = 8, 0
"""The compute capability from which a GPU has TF32."""


@dataclass(frozen=True)
class Processor:
    """Vendor and instruction sets as Linux names them; both empty where that is unknown."""

    vendor: str = ""
    flags: frozenset[str] = frozenset()

    @property
    def prefers_onednn(self) -> bool:
        """Whether oneDNN is faster than BLAS.

        The MKL in torch does not use AVX-512 on processors of AMD, where oneDNN is twice as fast;
        on others they are level.
        """
        return self.vendor == "AuthenticAMD" and self.flags >= AVX512


def processor_of(cpuinfo: str) -> Processor:
    """The first processor in the text of /proc/cpuinfo."""
    first, _, _ = cpuinfo.partition("\n\n")
    lines = (line.partition(":") for line in first.splitlines())
    fields = {name.strip(): value.strip() for name, _, value in lines}
    return Processor(fields.get("vendor_id", ""), frozenset(fields.get("flags", "").split()))


def this_processor() -> Processor:
    """The processor of this machine, as far as the system says."""
    try:
        return processor_of(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return Processor()


def choose_products(
    setting: str,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    processor: Processor | None = None,
) -> Products:
    """The products for the setting `matmul` and parameters of this dtype on this device.

    `auto` is oneDNN for float32 on a processor that prefers it, if it is there and accurate, and
    `blas` otherwise. `processor` is this machine's unless given. Raises OptionError, with the way
    out, for `onednn` and `tf32` where they do not apply.
    """
    if setting == "tf32":
        _check_tf32(device, dtype)
        return Tf32()
    applies = device.type == "cpu" and dtype == torch.float32
    if setting == "onednn" and not applies:
        raise OptionError("matmul", setting, "is for device=cpu and dtype=float32; set matmul=auto")
    if setting == "onednn":
        return _onednn()
    if setting == "auto" and applies and (processor or this_processor()).prefers_onednn:
        try:
            return _onednn()
        except OptionError:
            return BLAS
    return BLAS


def relative_error(multiply: Multiply) -> float:
    """The error of A Wᵀ by `multiply` for two fixed float32 matrices, against float64.

    Infinite if torch refuses the product.
    """
    generator = torch.Generator().manual_seed(0)
    shape = 2, CHECKED_SIZE, CHECKED_SIZE
    left, weights = torch.randn(shape, generator=generator, dtype=torch.float64).float()
    exact: Tensor = left.double() @ weights.double().T
    try:
        difference = multiply(left, weights).double() - exact
    except RuntimeError:
        return math.inf
    return float(difference.norm() / exact.norm())


def _onednn() -> OneDnn:
    linear = onednn_linear()
    if linear is None:
        reason = "this torch has no oneDNN; set matmul=auto or matmul=blas"
        raise OptionError("matmul", "onednn", reason)
    error = relative_error(linear)
    if not error <= MAX_ERROR:
        reason = (
            f"has an error of {error:.2g} here, where float32 has less than {MAX_ERROR:g}; "
            "set matmul=auto or matmul=blas"
        )
        raise OptionError("matmul", "onednn", reason)
    return OneDnn(linear)


def _check_tf32(device: torch.device, dtype: torch.dtype) -> None:
    if device.type != "cuda":
        reason = "is for a GPU; on a CPU set matmul=auto"
    elif dtype != torch.float32:
        reason = "is for dtype=float32; set matmul=auto"
    elif torch.cuda.get_device_capability(device) < TF32_CAPABILITY:
        reason = f"{torch.cuda.get_device_name(device)} has no TF32; set matmul=auto"
    else:
        return
    raise OptionError("matmul", "tf32", reason)
