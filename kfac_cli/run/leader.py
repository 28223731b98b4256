"""The first process of a run, which decides what all of them do next."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch

from kfac_cli.config.schema import RunConfig, settings_tree
from kfac_cli.engine import StepRecord
from kfac_cli.engine.processes import Processes
from kfac_cli.errors import ProcessLostError, UserError, counted
from kfac_cli.run.last_words import LastWords
from kfac_cli.run.launched import joined, launched, leave, timeout_seconds
from kfac_cli.run.messages import Beginning, Part, send, share_beginning, share_errors
from kfac_cli.run.session import Session, to_device


class Leader:
    """Announces each part of a run to the other processes; without any, it does nothing.

    A part that fails half-way leaves them waiting for sums, so the connections are then closed and
    all processes end. What fails between two parts ends the run alone.
    """

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self._session: Session | None = None
        self._last: StepRecord | None = None

    @contextmanager
    def run(self, config: RunConfig, session: Session) -> Iterator[None]:
        """A context in which the others have the session too, and wait for its parts.

        Raises UserError for what makes one of them fail at the beginning.
        """
        if self.processes.count == 1:
            yield
            return
        with self._part(Part.BEGIN):
            state = to_device(session.state_dict(), torch.device("cpu"))
            threads = torch.get_num_threads()
            settings = settings_tree(config)
            share_beginning(Beginning(settings, threads, session.earlier, state))
            error = share_errors(None)
        try:
            if error is not None:
                raise UserError(error)
            self._session, self._last = session, None
            yield
        finally:
            self._session = None
            if Processes.here().count > 1:
                with self._part(Part.END):
                    pass

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """A context in which all processes evaluate the session."""
        with self._part(Part.EVALUATE):
            yield

    def step(self, session: Session) -> tuple[int, StepRecord]:
        """`Session.step`, in all processes."""
        with self._part(Part.STEP):
            size, self._last = session.step()
        return size, self._last

    @contextmanager
    def _part(self, part: Part) -> Iterator[None]:
        if self.processes.count == 1:
            yield
            return
        try:
            send(part, self._session, self._last)
            yield
        except BaseException as error:
            words = LastWords()
            words.report()
            leave()
            if not isinstance(error, ProcessLostError):
                raise
            raise ProcessLostError(words.reason() or _explained(error)) from error

    def sentence(self) -> str:
        """How many processes there are, and what each of them uses."""
        count, threads = self.processes.count, torch.get_num_threads()
        return f"{count} processes of {counted(threads, 'thread')} each; threads=N changes it"


def processes_of_run() -> Processes:
    """Those that share a run; raises UserError if the others have ended in an earlier run."""
    processes = Processes.here()
    if launched() and processes.count == 1:
        raise UserError("the other processes have ended with an earlier run; start all of them")
    return processes


@contextmanager
def leading() -> Iterator[None]:
    """A context in which the other processes wait for runs; at its end they end too."""
    with joined():
        others, words = Processes.here().count - 1, LastWords()
        try:
            yield
        finally:
            if Processes.here().count > 1:
                with suppress(ProcessLostError):  # nothing is left to do
                    send(Part.LEAVE)
            else:
                words.await_ends(others)


def _explained(error: ProcessLostError) -> str:
    """What is known of another process that is lost and gave no reason."""
    return (
        "another process has ended or has not answered within "
        f"{timeout_seconds():g} seconds ({error})"
    )
