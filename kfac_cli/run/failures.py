"""The line for an error that ended a run; what is raised where memory runs out."""

from kfac_cli.errors import ProcessLostError, error_text

MESSAGES = (
    "can't allocate memory",  # PyTorch, on a CPU
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUSOLVER_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""Parts of the messages of PyTorch's and CUDA's errors that have no class of their own."""

HANDLES = ("cublasCreate", "cusolverDnCreate", "cudnnCreate")
"""Functions that allocate the memory of a library: when none is left, they give any error."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that the memory of the machine or of a GPU ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(
        part in str(error) for part in (*MESSAGES, *HANDLES)
    )


def failure_line(error: Exception) -> str:
    """One line for an error that ended a run; a lost process stays named, whatever ended it."""
    if is_out_of_memory(error) and not isinstance(error, ProcessLostError):
        return "out of memory: set a smaller chunk_size or use a smaller network"
    return error_text(error)


def is_expected(error: Exception) -> bool:
    """Whether an error is none of the program's: its traceback says nothing to a user."""
    return isinstance(error, ProcessLostError) or is_out_of_memory(error)
