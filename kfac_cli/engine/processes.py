"""The processes among which the cases of a mini-batch are divided, and the sums over all of them.

A single process unless torch.distributed has been initialized: then Gloo sums what is on a CPU and
NCCL what is on a GPU. Every process must ask for the same sums in the same order.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from kfac_cli.engine.parcel import Parcel
from kfac_cli.errors import ProcessLostError


@dataclass(frozen=True)
class Processes:
    """`count` processes, of which this is number `rank`, counted from 0."""

    rank: int = 0
    count: int = 1

    @classmethod
    def here(cls) -> "Processes":
        """Those of torch.distributed; a single one unless it is initialized."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    def share(self, cases: slice) -> slice:
        """This process's part of the cases: all have as many, but for one case."""
        start, length = cases.start, cases.stop - cases.start
        first, end = (start + length * rank // self.count for rank in (self.rank, self.rank + 1))
        return slice(first, end)

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor, in place, by its sum over the processes, which is the same in all.

        The tensors are on one device; those of a dtype are sent together. Raises ProcessLostError.
        """
        if self.count == 1:
            return
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            alike = [tensor for tensor in tensors if tensor.dtype == dtype]
            flat = torch.cat([tensor.reshape(-1) for tensor in alike])
            with process_errors():
                distributed.all_reduce(flat)
            parts = torch.split(flat, [tensor.numel() for tensor in alike])
            for tensor, part in zip(alike, parts, strict=True):
                tensor.copy_(part.view(tensor.shape))

    def exchange(self, own: Any, device: torch.device) -> list[Any]:
        """What each process gives, by rank: an object of tensors, containers and plain values.

        Its tensors are on this process's `device`; those of a process and dtype are sent together.
        Raises ProcessLostError.
        """
        if self.count == 1:
            return [own]
        parcel, tensors = Parcel.of(own)
        parcels = [parcel] * self.count
        results = []
        with process_errors():
            distributed.all_gather_object(parcels, parcel)
        for rank, each in enumerate(parcels):
            mine = rank == self.rank
            flat = each.joined(tensors) if mine else each.empty(device)
            with process_errors():
                for part in flat.values():
                    distributed.broadcast(part, src=rank)
            results.append(own if mine else each.content(flat))
        return results


ALONE = Processes()


@contextmanager
def process_errors() -> Iterator[None]:
    """Raise ProcessLostError for what torch raises when another process ends or is silent."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessLostError(_short(str(error))) from error


def _short(text: str) -> str:
    """The first sentence of an error of Gloo or NCCL, without the place in its source."""
    sentence = " ".join(re.sub(r"\[\S+:\d+\] ", "", text, count=1).split(". ")[0].split())
    return sentence[:150]
