"""A connection between the first process and each of the others, on which they say why they end.

What was written to a connection arrives even if its writer has ended since, and so does its end if
nothing was written. So exactly one process reports a failure, whatever the order in which they
notice it: the first one, which tells the others before it does, or, if it has ended without telling
them, process 1.
"""

import contextlib
import os
import secrets
import select
import socket
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from kfac_cli.errors import ProcessLostError

TOKEN_BYTES = 16
INTRODUCTION_SECONDS = 5.0
"""How long a program that connects has to say which process it is."""

REPORTS = b"R"
"""What the first process tells the others before it reports a failure."""

LOST = "lost"
"""What a process says that has no other reason to end than that it has lost another one."""

FOR_LEADER = "\0"
"""What process 1 adds when it reports a failure because the first process does not."""

REASON_SECONDS = 2.0
"""How long the first process waits for the reasons of others that have not ended."""


class Listener:
    """Where the first process accepts the connections of the others, of whom each knows `token`."""

    def __init__(self) -> None:
        # On every address, as torch's own store: MASTER_ADDR may mean another one to this machine.
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        self._server = socket.create_server(("", 0), family=family, dualstack_ipv6=both)
        self.token = secrets.token_bytes(TOKEN_BYTES)
        self.port = int(self._server.getsockname()[1])

    def accept(self, ranks: range, seconds: float) -> "LeaderLines":
        """Wait for the others; raises OSError if not all of them connect in time."""
        ends: dict[int, socket.socket] = {}
        end = time.monotonic() + seconds
        with self._server:
            while len(ends) < len(ranks):
                self._server.settimeout(max(end - time.monotonic(), 0.1))
                connection, _ = self._server.accept()
                connection.settimeout(INTRODUCTION_SECONDS)
                rank = _introduced(connection, self.token)
                if rank is not None and rank in ranks:
                    ends[rank] = connection
                else:
                    connection.close()
        return LeaderLines(ends, seconds)


class LeaderLines:
    """The first process's ends of the connections, by rank.

    `seconds` is how long a process waits for another one.
    """

    def __init__(self, ends: dict[int, socket.socket], seconds: float) -> None:
        self._ends = ends
        self._seconds = seconds

    def announce(self) -> bool:
        """Tell the others that this process reports a failure; False if one of them has."""
        for end in self._ends.values():
            with contextlib.suppress(OSError):
                end.sendall(REPORTS)
        return not any(FOR_LEADER in text for text in self._words(0.0).values())

    def dead(self) -> list[int]:
        """The others that have ended without a word."""
        return [rank for rank, text in self._words(0.0).items() if text == ""]

    def reason(self) -> str:
        """What another process says of its failure, or which of them are dead or silent.

        Empty if all say that they have lost another one.
        """
        end, words = time.monotonic() + REASON_SECONDS, dict[int, str]()
        while time.monotonic() < end and len(words) < len(self._ends):
            words = self._words(0.05)
            if reasons := [text for text in words.values() if text not in ("", LOST)]:
                return reasons[0]
            if dead := [rank for rank, text in words.items() if text == ""]:
                return f"{_named(dead)} ended unexpectedly"
        silent = [rank for rank in self._ends if rank not in words]
        if not silent:
            return ""
        return f"{_named(silent)} did not answer within {self._seconds:g} seconds"

    def close(self) -> None:
        """End all connections."""
        for end in self._ends.values():
            end.close()

    def _words(self, seconds: float) -> dict[int, str]:
        """What those have said that are about to end, "" of those that ended without a word.

        It stays to be read again.
        """
        ranks = {end: rank for rank, end in self._ends.items()}
        ready, _, _ = select.select(list(ranks), [], [], seconds)
        return {ranks[end]: _peeked(end) for end in ready}


class FollowerLine:
    """Another process's end of its connection with the first one."""

    def __init__(self, rank: int, port: int, token: bytes, seconds: float) -> None:
        address = os.environ["MASTER_ADDR"], port
        self._end = socket.create_connection(address, timeout=seconds)
        self._end.sendall(token + rank.to_bytes(4, "big"))

    def explain(self, text: str) -> None:
        """Tell the first process why this one ends."""
        with contextlib.suppress(OSError):
            self._end.sendall(text.encode())

    def leader_reports(self, seconds: float) -> bool:
        """Whether the first process reports the failure: not if it ended, or is silent so long.

        If it does not, it will find when it continues that this process does.
        """
        self._end.settimeout(seconds)
        with contextlib.suppress(OSError):
            return self._end.recv(1) == REPORTS
        self.explain(FOR_LEADER)
        return False

    def close(self) -> None:
        """End the connection."""
        self._end.close()


Lifelines = LeaderLines | FollowerLine

LED: ContextVar[LeaderLines | None] = ContextVar("led", default=None)
"""The connections of the command that runs, in its first process."""


@contextlib.contextmanager
def lifelines(rank: int, count: int, seconds: float) -> Iterator[Lifelines]:
    """A context with this process's ends; torch.distributed has been initialized.

    Raises ProcessLostError if not all processes connect within `seconds`.
    """
    import torch
    from torch import distributed

    try:
        box: list[Any] = [None]
        listener = Listener() if rank == 0 else None
        if listener is not None:
            box = [(listener.port, listener.token)]
        distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        lines: Lifelines
        if listener is not None:
            lines = listener.accept(range(1, count), seconds)
        else:
            port, token = box[0]
            lines = FollowerLine(rank, port, token, seconds)
    except (OSError, RuntimeError) as error:
        raise ProcessLostError(f"the processes cannot connect to the first one: {error}") from error
    try:
        yield lines
    finally:
        lines.close()


def _introduced(connection: socket.socket, token: bytes) -> int | None:
    """The rank of a process that has connected; None for any other program."""
    text = b""
    with contextlib.suppress(OSError):
        while len(text) < TOKEN_BYTES + 4 and (part := connection.recv(TOKEN_BYTES + 4)):
            text += part
    known = secrets.compare_digest(text[:TOKEN_BYTES], token)
    return int.from_bytes(text[TOKEN_BYTES:], "big") if known else None


def _peeked(end: socket.socket) -> str:
    try:
        end.setblocking(False)
        return end.recv(4096, socket.MSG_PEEK).decode(errors="replace")
    except OSError:
        return ""


def _named(ranks: list[int]) -> str:
    numbers = ", ".join(map(str, ranks))
    return f"process {numbers}" if len(ranks) == 1 else f"processes {numbers}"
