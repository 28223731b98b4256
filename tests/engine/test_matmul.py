"""The choice of matrix products: by the processor and their accuracy, never by their time."""

import re

import pytest
import torch

from kfac_cli.engine import matmul
from kfac_cli.engine.declaration import OptionError
from kfac_cli.engine.matmul import (
    MAX_ERROR,
    Processor,
    choose_products,
    processor_of,
    relative_error,
    this_processor,
)
from kfac_cli.engine.products import BLAS, OneDnn, Tf32

CPU, GPU = torch.device("cpu"), torch.device("cuda")
AVX2 = "fpu sse4_2 fma avx avx2"
AVX512 = f"{AVX2} avx512f avx512dq avx512cd avx512bw avx512vl"
ZEN4 = Processor("AuthenticAMD", frozenset(AVX512.split()))


def cpuinfo(vendor, flags):
    one = f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: A: B\nflags\t\t: {flags}\n"
    return f"{one}bugs\t\t: spectre\n\n{one.replace(flags, 'other')}"


def exact(left, weights):
    return left @ weights.T


def rounded_to(bits):
    """A product of float32 matrices whose factors have so many bits after the first."""

    def round_(matrix):
        mantissa, exponent = torch.frexp(matrix)
        return torch.ldexp((mantissa * 2 ** (bits + 1)).round() / 2 ** (bits + 1), exponent)

    return lambda left, weights: round_(left) @ round_(weights).T


def refused(left, weights):
    raise RuntimeError("could not create a primitive descriptor")


WRONG = {
    "bfloat16": rounded_to(7),
    "TF32": rounded_to(10),
    "two pieces of bfloat16": rounded_to(15),
    "transposed": lambda left, weights: left @ weights,
    "nan": lambda left, weights: torch.full((len(left), len(weights)), torch.nan),
    "refused": refused,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (cpuinfo("AuthenticAMD", AVX512), True),
        (cpuinfo("AuthenticAMD", AVX2), False),
        (cpuinfo("AuthenticAMD", f"{AVX2} avx512f"), False),
        (cpuinfo("GenuineIntel", f"{AVX512} amx_bf16 amx_tile"), False),
        (cpuinfo("HygonGenuine", AVX2), False),
        ("processor\t: 0\nFeatures\t: fp asimd sve\nCPU implementer\t: 0x41\n", False),
        ("", False),
    ],
)
def test_onednn_is_preferred_on_processors_of_amd_with_avx512_only(text, expected):
    assert processor_of(text).prefers_onednn == expected


def test_a_system_that_does_not_describe_its_processor_prefers_nothing(monkeypatch):
    def missing(*arguments, **keywords):
        raise FileNotFoundError

    monkeypatch.setattr("pathlib.Path.read_text", missing)
    assert this_processor() == Processor()
    assert not Processor().prefers_onednn


def test_float32_products_are_accurate():
    assert relative_error(exact) < MAX_ERROR / 4


@pytest.mark.parametrize("product", WRONG.values(), ids=WRONG)
def test_products_with_fewer_bits_or_other_values_are_not(product):
    assert not relative_error(product) <= MAX_ERROR


def test_the_check_draws_from_a_generator_of_its_own():
    before = torch.get_rng_state()
    assert relative_error(exact) == relative_error(exact)
    assert torch.equal(torch.get_rng_state(), before)


# --- auto ----------------------------------------------------------------------------------------


def test_auto_takes_onednn_where_it_is_preferred_and_accurate(monkeypatch):
    monkeypatch.setattr(matmul, "onednn_linear", lambda: exact)
    assert choose_products("auto", CPU, processor=ZEN4) == OneDnn(exact)


@pytest.mark.parametrize("linear", [None, *WRONG.values()], ids=["absent", *WRONG])
def test_auto_takes_blas_where_onednn_is_absent_or_inaccurate(monkeypatch, linear):
    monkeypatch.setattr(matmul, "onednn_linear", lambda: linear)
    assert choose_products("auto", CPU, processor=ZEN4) is BLAS


@pytest.mark.parametrize(
    ("device", "dtype", "processor"),
    [
        (CPU, torch.float32, Processor("GenuineIntel", ZEN4.flags)),
        (CPU, torch.float64, ZEN4),
        (GPU, torch.float32, ZEN4),
    ],
)
def test_auto_leaves_everything_else_to_torch(device, dtype, processor):
    assert choose_products("auto", device, dtype, processor) is BLAS


# --- what is asked for ---------------------------------------------------------------------------


@pytest.mark.parametrize("device", [CPU, GPU])
def test_blas_is_blas_on_every_processor(device):
    assert choose_products("blas", device, processor=ZEN4) is BLAS


def test_onednn_is_taken_on_any_processor(monkeypatch):
    monkeypatch.setattr(matmul, "onednn_linear", lambda: exact)
    assert choose_products("onednn", CPU, processor=Processor()) == OneDnn(exact)


@pytest.mark.parametrize(
    ("setting", "device", "dtype", "line"),
    [
        ("onednn", GPU, torch.float32, "matmul=onednn: is for device=cpu and dtype=float32; "),
        ("onednn", CPU, torch.float64, "matmul=onednn: is for device=cpu and dtype=float32; "),
        ("tf32", CPU, torch.float32, "matmul=tf32: is for a GPU; on a CPU set matmul=auto"),
        ("tf32", GPU, torch.float64, "matmul=tf32: is for dtype=float32; set matmul=auto"),
    ],
)
def test_products_are_refused_where_they_do_not_apply(setting, device, dtype, line):
    with pytest.raises(OptionError, match=re.escape(line)):
        choose_products(setting, device, dtype)


@pytest.mark.parametrize(
    ("linear", "reason"),
    [
        (None, "this torch has no oneDNN"),
        (rounded_to(7), r"has an error of 0.002\d* here, where float32 has less than 2e-06"),
        (refused, "has an error of inf here, where float32 has less than 2e-06"),
    ],
)
def test_onednn_is_refused_where_it_is_absent_or_inaccurate(monkeypatch, linear, reason):
    monkeypatch.setattr(matmul, "onednn_linear", lambda: linear)
    with pytest.raises(OptionError, match=f"^matmul=onednn: {reason}; set matmul=auto or"):
        choose_products("onednn", CPU)


def test_tf32_needs_a_gpu_that_has_it(monkeypatch):
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: (8, 0))
    assert choose_products("tf32", GPU) == Tf32()
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "Tesla T4")
    with pytest.raises(OptionError, match=r"^matmul=tf32: Tesla T4 has no TF32; set"):
        choose_products("tf32", GPU)
