"""Work on many matrices side by side, each on one CPU thread (section 8: layers in parallel).

Factorisations of a layer's size gain little from several threads, and lose much where other work
competes for the processors, since their threads wait for each other many times.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(
    work: Callable[[Item], Result], items: Sequence[Item], matrix: Callable[[Item], Tensor]
) -> list[Result]:
    """`work` of each item, in order; those with the largest `matrix` are begun first.

    As many at a time as torch has threads, each on one thread, so that neither the number of
    threads nor their scheduling changes a result. The first item, in order, that fails raises its
    error. `work` must change nothing that another item's work uses. On another device than the CPU
    it is done one after the other.
    """
    threads = torch.get_num_threads()
    if threads == 1 or not items or matrix(items[0]).device.type != "cpu":
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
