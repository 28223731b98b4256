"""Copying the chunks of a mini-batch to the device where they are needed.

From pinned memory, the next chunk is copied to a GPU while it computes with the current one.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


def feed(parts: Sequence[Tensor], chunks: Sequence[slice], like: Tensor) -> Iterator[list[Tensor]]:
    """The rows of each part for one chunk after the other, on the device of `like`, in its dtype.

    What was returned for a chunk may be overwritten once the next one was asked for.
    """
    if like.device.type == "cuda" and len(chunks) > 1 and all(part.is_pinned() for part in parts):
        yield from double_buffered(parts, chunks, like)
        return
    for rows in chunks:
        yield [_sent(part[rows], like) for part in parts]


def double_buffered(
    parts: Sequence[Tensor], chunks: Sequence[slice], like: Tensor
) -> Iterator[list[Tensor]]:
    """As `feed`, by copies in a stream of their own to two buffers in turn.

    A copy waits for the work that was started on the buffer's last contents, and the work on a
    chunk for its copy; the host waits for neither.
    """
    work = torch.cuda.current_stream(like.device)
    copies = torch.cuda.Stream(like.device)  # type: ignore[no-untyped-call]
    longest = max(rows.stop - rows.start for rows in chunks)
    buffers = [[like.new_empty(longest, part.shape[1]) for part in parts] for _ in range(2)]
    copies.wait_stream(work)  # which may still use the memory that the buffers got

    def send(index: int) -> list[Tensor]:
        rows = chunks[index]
        targets = [buffer[: rows.stop - rows.start] for buffer in buffers[index % 2]]
        with torch.cuda.stream(copies):
            for target, part in zip(targets, parts, strict=True):
                target.copy_(_sent(part[rows], like))
        return targets

    try:
        following = send(0)
        for index in range(len(chunks)):
            current, arrived = following, copies.record_event()
            if index + 1 < len(chunks):
                following = send(index + 1)
            work.wait_event(arrived)
            yield current
            copies.wait_event(work.record_event())
    finally:
        work.wait_stream(copies)  # before the memory of the buffers is used again


def _sent(rows: Tensor, like: Tensor) -> Tensor:
    """The rows on the device of `like`, where they are converted: copies are of what is stored."""
    return rows.to(like.device, non_blocking=True).to(like.dtype)
