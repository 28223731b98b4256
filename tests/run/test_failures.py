import pytest
import torch

from kfac_cli.run.failures import failure_line, is_out_of_memory

LINE = "out of memory: set a smaller chunk_size or use a smaller network"
CUBLAS = "CUDA error: CUBLAS_STATUS_{} when calling `{}`"
CUSOLVER = "cusolver error: CUSOLVER_STATUS_{}, when calling `{}`"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
        RuntimeError(CUBLAS.format("ALLOC_FAILED", "cublasSgemm(handle, opa, opb)")),
        RuntimeError(CUBLAS.format("ALLOC_FAILED", "cublasCreate(handle)")),
        RuntimeError(CUBLAS.format("NOT_INITIALIZED", "cublasCreate(handle)")),
        RuntimeError(CUSOLVER.format("ALLOC_FAILED", "cusolverDnDpotrf(handle, uplo, n)")),
        RuntimeError(CUSOLVER.format("INTERNAL_ERROR", "cusolverDnCreate(handle)")),
        torch.linalg.LinAlgError(CUSOLVER.format("ALLOC_FAILED", "cusolverDnXsyevd(handle)")),
    ],
    ids=str,
)
def test_an_allocation_that_failed_is_one_line_whoever_says_it(error):
    assert is_out_of_memory(error)
    assert failure_line(error) == LINE


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError(CUBLAS.format("EXECUTION_FAILED", "cublasSgemm(handle, opa, opb)")),
        RuntimeError(CUSOLVER.format("INTERNAL_ERROR", "cusolverDnDsyevd(handle, jobz)")),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        KeyError("can't allocate memory"),
    ],
    ids=str,
)
def test_other_errors_are_not_a_matter_of_memory(error):
    assert not is_out_of_memory(error)
    assert failure_line(error).startswith(type(error).__name__)
