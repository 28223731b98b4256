"""What PyTorch, CUDA's libraries and Python raise when memory runs out."""

MESSAGES = (
    "can't allocate memory",  # PyTorch, on a CPU
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUSOLVER_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""Parts of the messages of errors that have no class of their own."""

HANDLES = ("cublasCreate", "cusolverDnCreate", "cudnnCreate")
"""Functions that allocate the memory of a library: when none is left, they give any error."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that the memory of the machine or of a GPU ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(
        part in str(error) for part in (*MESSAGES, *HANDLES)
    )
