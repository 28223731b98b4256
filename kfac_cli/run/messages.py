"""What the first process tells the others before each part of a run that all take part in."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor, distributed

from kfac_cli.data.dataset import Fingerprint
from kfac_cli.engine import StepRecord
from kfac_cli.engine.processes import process_errors
from kfac_cli.run.session import Session

CHECKED = ("the iteration", "the parameters", "alpha", "mu", "lambda", "gamma")
"""What a message has of the state of a run, which all processes must have in common."""


class Part(IntEnum):
    """A part of a run; `LEAVE` says that there are no more runs."""

    BEGIN = 1
    STEP = 2
    EVALUATE = 3
    END = 4
    LEAVE = 5


@dataclass(frozen=True)
class Beginning:
    """What a process needs to begin a run at the state of the first one.

    `settings` are those of `settings_tree`, with its chunk size; `data` is the fingerprint of its
    dataset.
    """

    settings: dict[str, Any]
    threads: int
    earlier: int
    state: dict[str, Any]
    data: Fingerprint


def send(part: Part, session: Session | None = None, last: StepRecord | None = None) -> None:
    """Announce a part to the other processes; `last` is the record of the last step."""
    _broadcast(torch.tensor([part, *state_of(session, last)]))


def receive(session: Session | None = None, last: StepRecord | None = None) -> tuple[Part, str]:
    """Wait for a part; also what differs here from the first process, "" if nothing does."""
    message = torch.zeros(1 + len(CHECKED), dtype=torch.int64)
    _broadcast(message)
    part, *theirs = message.tolist()
    pairs = zip(CHECKED, theirs, state_of(session, last), strict=True)
    differing = [name for name, first, own in pairs if first != own]
    return Part(part), ", ".join(differing) if part in (Part.STEP, Part.EVALUATE) else ""


def all_arrived() -> None:
    """Wait until every process calls this; raises ProcessLostError if one is lost."""
    with process_errors():
        distributed.all_reduce(torch.zeros(1))


def state_of(session: Session | None, last: StepRecord | None) -> list[int]:
    """The values that CHECKED names, as integers: the bits of numbers, a checksum of tensors."""
    if session is None:
        return [0] * len(CHECKED)
    numbers = [0.0] * 4 if last is None else [last.alpha, last.mu, last.damping, last.gamma]
    return [session.iteration, checksum(session.optimizer.parameters), *map(_bits, numbers)]


def checksum(tensors: list[Tensor]) -> int:
    """The sum of the bits of all entries, which does not depend on the order of the summation."""
    kinds = {4: torch.int32, 8: torch.int64}
    sums = [tensor.contiguous().view(kinds[tensor.element_size()]).sum() for tensor in tensors]
    return int(torch.stack(sums).sum())


def _bits(number: float | None) -> int:
    [integer] = struct.unpack("<q", struct.pack("<d", float("inf") if number is None else number))
    return int(integer)


def _broadcast(message: Tensor) -> None:
    with process_errors():
        distributed.broadcast(message, src=0)


def share_beginning(beginning: Beginning | None = None) -> Beginning:
    """Send the beginning, in the first process, or receive it."""
    box = [beginning]
    with process_errors():
        distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    assert box[0] is not None
    return box[0]


def share_errors(error: str | None) -> str | None:
    """The error of the first process that has one, in all processes; None if none has."""
    errors: list[Any] = [None] * distributed.get_world_size()
    with process_errors():
        distributed.all_gather_object(errors, error)
    found = [f"process {rank}: {text}" for rank, text in enumerate(errors) if text is not None]
    return found[0] if found else None
