"""How many cases are computed at once: what `chunk_size=auto` stands for."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

CPU_CASES = 2000
"""Cases at once on a CPU.

Measured with the network of MNIST on one thread of an Intel Xeon (Sapphire Rapids), mini-batches of
5,000 and 10,000: 1,000 to 3,000 are level, 500 and 5,000 take up to 14 and 9 per cent longer.
"""

MEMORY_SHARE = 0.25
"""Fraction of a GPU's free memory for the units of a chunk: inverses and statistics need it too."""

COPIES = 8
"""Numbers for each unit and case at once: forward and backward pass, sampled targets, J·v for two
directions, kept activations, and what elementwise functions need in between."""

FEWEST = 256
"""Cases in the smallest chunk that is chosen: with fewer, a GPU has too little to do."""


def chunk_size_for(setting: int | str, layer_sizes: Sequence[int], like: Tensor) -> int:
    """The number of cases at once: the setting itself or, for `auto`, what suits the device.

    `like` is on the device of the parameters and has their dtype. On a GPU the number depends on
    the memory that is free.
    """
    if isinstance(setting, int):
        return setting
    if like.device.type != "cuda":
        return CPU_CASES
    return chunk_size_in(free_memory(like.device), layer_sizes, like.dtype)


def chunk_size_in(free: int, layer_sizes: Sequence[int], dtype: torch.dtype) -> int:
    """The number of cases whose units fit into a share of `free` bytes, a power of 2.

    So the same GPU has the same chunks, though its free memory is never quite the same.
    """
    cases = int(MEMORY_SHARE * free) // (COPIES * bytes_per_case(layer_sizes, dtype))
    return max(FEWEST, 2 ** (cases.bit_length() - 1) if cases else 0)


def bytes_per_case(layer_sizes: Sequence[int], dtype: torch.dtype) -> int:
    """What the activations of one case take, inputs, homogeneous coordinates and outputs included.

    As `Activations` holds them.
    """
    units = sum(below + 1 for below, _ in pairwise(layer_sizes)) + layer_sizes[-1]
    return units * dtype.itemsize


def free_memory(device: torch.device) -> int:
    """The bytes that a process can still use on a GPU, those that torch keeps for it included."""
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + kept)
