"""The processes that torchrun or another launcher of torch.distributed has started for a command.

The first one, of rank 0, runs the command as a single process would; the others follow it.
Importing this needs no torch.
"""

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta

from kfac_cli.errors import ProcessLostError, UserError
from kfac_cli.run.lifelines import Lifelines, lifelines

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher sets for each process."""

TIMEOUT = "KFAC_PROCESS_TIMEOUT"
DEFAULT_TIMEOUT = 600.0
"""Seconds that a process waits for another one; the variable changes them."""


def launched() -> bool:
    """Whether this is one of several processes."""
    return all(name in os.environ for name in VARIABLES) and os.environ["WORLD_SIZE"] != "1"


def rank() -> int:
    """The number of this process, counted from 0."""
    return int(os.environ["RANK"]) if launched() else 0


def reports_loss_of_leader() -> bool:
    """Whether this process reports a failure if the first one can not: process 1 does.

    On other machines, whose output may be read apart, so does the first process there.
    """
    return rank() == 1 or (rank() > 0 and local_rank() == 0)


def local_rank() -> int:
    """The number of this process among those on its machine."""
    return int(os.environ.get("LOCAL_RANK", rank()))


def timeout_seconds() -> float:
    """After how many seconds without an answer another process counts as lost."""
    text = os.environ.get(TIMEOUT) or str(DEFAULT_TIMEOUT)
    with contextlib.suppress(ValueError):
        if 1 <= (seconds := float(text)) <= 10**7:
            return seconds
    raise UserError(f"{TIMEOUT}={text}: must be a number of seconds, 1 or more")


@contextlib.contextmanager
def joined() -> Iterator[Lifelines | None]:
    """A context in which torch.distributed is initialized, if there are several processes.

    On a CPU they communicate by Gloo, on GPUs by NCCL; beside that there are the lifelines that it
    yields. Raises ProcessLostError if not all of them begin.
    """
    if not launched():
        yield None
        return
    import torch

    # Functions in it have the group of all processes as a default argument if they are defined
    # while it is there, as torch.optim does at the first step: it could then not be closed.
    import torch.distributed.nn
    from torch import distributed

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    seconds = timeout_seconds()
    try:
        distributed.init_process_group(backend, timeout=timedelta(seconds=seconds))
    except (RuntimeError, ValueError) as error:
        raise ProcessLostError(f"the processes did not find each other: {error}") from error
    try:
        with lifelines(rank(), distributed.get_world_size(), seconds) as lines:
            yield lines
    finally:
        leave()


def leave() -> None:
    """Close the connections to the other processes, which ends those that wait for this one."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()
