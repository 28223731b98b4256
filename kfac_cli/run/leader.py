"""The first process of a run, which decides what all of them do next."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

import torch

from kfac_cli.config.schema import RunConfig, settings_tree
from kfac_cli.engine import StepRecord
from kfac_cli.engine.processes import Processes
from kfac_cli.error_line import EXIT_FAILED
from kfac_cli.errors import ProcessLostError, UserError, counted
from kfac_cli.run.launched import joined, launched, leave
from kfac_cli.run.lifelines import LED, LeaderLines
from kfac_cli.run.messages import Beginning, Part, all_arrived, send, share_beginning, share_errors
from kfac_cli.run.session import Session, to_device
from kfac_cli.signals import ignore_signals


class Leader:
    """Announces each part of a run to the other processes; without any, it does nothing.

    A part that fails half-way leaves them waiting for sums, so the connections are then closed and
    all processes end. What fails between two parts ends the run alone.
    """

    def __init__(self, processes: Processes, lines: LeaderLines | None = None) -> None:
        self.processes = processes
        self._lines = lines
        self._begun = False
        self._session: Session | None = None
        self._last: StepRecord | None = None

    @classmethod
    def of_run(cls) -> "Leader":
        """That of the command that runs; raises ProcessLostError if the others are lost.

        So a sweep or a search, in which they were lost in an earlier run, ends.
        """
        processes = Processes.here()
        if launched() and processes.count == 1:
            raise ProcessLostError("the other processes have ended; start all of them again")
        return cls(processes, LED.get())

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
            settings = {**settings_tree(config), "chunk_size": session.optimizer.chunk_size}
            data = session.dataset.fingerprint
            share_beginning(Beginning(settings, threads, session.earlier, state, data))
            error = share_errors(None)
        self._begun = True
        try:
            if error is not None:
                raise UserError(error)
            self._session, self._last = session, None
            yield
        finally:
            self.end()

    def end(self) -> None:
        """Let the others end the run, unless they have; raises ProcessLostError if one is lost.

        So none that is left has lost another one before its last step.
        """
        if not self._begun or Processes.here().count == 1:
            return
        self._begun, self._session = False, None
        with self._part(Part.END):
            all_arrived()

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
            report_failure(self._lines, error)

    def sentence(self) -> str:
        """How many processes there are, and what each of them uses."""
        count, threads = self.processes.count, torch.get_num_threads()
        return f"{count} processes of {counted(threads, 'thread')} each; threads=N changes it"


def report_failure(lines: LeaderLines | None, error: BaseException) -> NoReturn:
    """End all processes for an error of this one, and raise it, or what it means if one is lost.

    Raises SystemExit if another process has reported it, to which this one seemed lost.
    """
    mine = lines is None or lines.announce()
    leave()
    if not mine:
        ignore_signals()
        raise SystemExit(EXIT_FAILED) from error
    if isinstance(error, ProcessLostError):
        ignore_signals()  # torchrun's, because the other one has ended
        reason = "" if lines is None else lines.reason()
        raise ProcessLostError(reason or str(error)) from error
    raise error


@contextmanager
def leading() -> Iterator[None]:
    """A context in which the other processes wait for runs; at its end they end too."""
    with joined() as lines:
        assert lines is None or isinstance(lines, LeaderLines)
        token = LED.set(lines)
        try:
            yield
        except KeyboardInterrupt as error:  # torchrun's too, if another process has ended
            if lines is not None and Processes.here().count > 1 and lines.dead():
                report_failure(lines, ProcessLostError(str(error)))
            raise
        finally:
            LED.reset(token)
            if Processes.here().count > 1:
                with suppress(ProcessLostError):  # nothing is left to do
                    send(Part.LEAVE)
