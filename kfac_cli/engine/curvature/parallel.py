"""Work on many matrices side by side (section 8: layers in parallel).

On a CPU, each on one thread: factorisations of a layer's size gain little from several, and lose
much where other work competes for the processors, since their threads wait for each other many
times. On a GPU, which they leave mostly idle too, on several streams.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

STREAMS = 4
"""Of a GPU: what is gained by more is less than the time to start the work."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(
    work: Callable[[Item], Result], items: Sequence[Item], matrix: Callable[[Item], Tensor]
) -> list[Result]:
    """`work` of each item, in order; those with the largest `matrix` are begun first.

    As many at a time as torch has threads, each on one thread, so that neither the number of
    threads nor their scheduling changes a result. The first item, in order, that fails raises its
    error. `work` must change nothing that another item's work uses.
    """
    threads = torch.get_num_threads()
    device = matrix(items[0]).device if items else torch.device("cpu")
    if device.type == "cuda":
        return _on_streams(work, items, device)
    if threads == 1 or not items:
        return [work(item) for item in items]
    try:
        with ThreadPoolExecutor(
            min(threads, len(items)), initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            order = sorted(range(len(items)), key=lambda index: -matrix(items[index]).numel())
            begun = {index: pool.submit(work, items[index]) for index in order}
            return [begun[index].result() for index in range(len(items))]
    finally:
        # What a thread sets holds for itself and, as a default, for threads that start later.
        torch.set_num_threads(threads)


def _on_streams(
    work: Callable[[Item], Result], items: Sequence[Item], device: torch.device
) -> list[Result]:
    """`work` of each item in turn, on one of the GPU's streams after the other.

    They begin after all work on the current stream, and the current stream continues after theirs.
    So memory that is freed on one of them is written to again only once it is no longer read.
    """
    current = torch.cuda.current_stream(device)
    streams = _streams(device, current.cuda_stream)
    for stream in streams:
        stream.wait_stream(current)
    try:
        results = []
        for index, item in enumerate(items):
            with torch.cuda.stream(streams[index % len(streams)]):
                results.append(work(item))
        return results
    finally:
        for stream in streams:
            current.wait_stream(stream)


@cache
def _streams(device: torch.device, current: int) -> list[torch.cuda.Stream]:
    """Those of the work that is begun on the `current` stream, which others must not use."""
    return [torch.cuda.Stream(device) for _ in range(STREAMS)]  # type: ignore[no-untyped-call]
