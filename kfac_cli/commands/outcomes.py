"""How the jobs of a command end: the line of each that failed, its error.log, how to resume it."""

import math
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kfac_cli.commands.current_job import CurrentJob, sweeping
from kfac_cli.commands.failures import record_failure
from kfac_cli.commands.resume import Ending
from kfac_cli.commands.resume_command import resume_hint, say_how_to_resume
from kfac_cli.config.schema import RunConfig
from kfac_cli.error_line import EXIT_FAILED
from kfac_cli.errors import ProcessLostError, UserError
from kfac_cli.files import shown_folder
from kfac_cli.recording.summary import DIVERGED, INTERRUPTED, TARGET_MISSED, TIME_LIMIT_REACHED
from kfac_cli.recording.values import significant
from kfac_cli.run.failures import failure_line, is_expected
from kfac_cli.signals import Interrupted, check_interrupted

if TYPE_CHECKING:
    from kfac_cli.run.runner import RunResult


class Outcomes:
    """The outcomes of a `command`'s jobs; `failures` has a line for each that failed, in order.

    Methods that end a job return its best training error: infinity after an error or divergence.
    """

    def __init__(self, job: CurrentJob, command: str) -> None:
        self.failures: list[str] = []
        self._job = job
        self._command = command

    def of_result(self, result: "RunResult", config: RunConfig, folder: Path) -> float:
        """End a job whose run has returned; raises Interrupted if a signal ended it."""
        missed = result.status == TARGET_MISSED
        out_of_time = missed and result.iterations < config.iterations
        interrupted = result.status == INTERRUPTED or result.signal is not None
        if out_of_time or result.status in (INTERRUPTED, TIME_LIMIT_REACHED):
            given = ", given more max_optimizer_seconds=" if result.optimizer_time_is_up else ""
            say_how_to_resume(folder, f"continues from here{given}", ends_sweep=interrupted)
        if interrupted:
            raise Interrupted(result.signal or signal.SIGINT)
        if result.status == DIVERGED:
            why = "" if result.reason is None else f": {result.reason}"
            line = f"the run diverged{why}; its results until then are in {shown_folder(folder)}"
            return self.fail(line, folder)
        if missed and config.require_target:
            self._miss(config, result.best_train_error, folder)
        return result.best_train_error

    def of_earlier(self, ending: Ending, config: RunConfig, folder: Path) -> float:
        """Skip a job of a resumed sweep that had ended."""
        print(f"{shown_folder(folder)}: {ending.status}, skipped", flush=True)
        if ending.status == DIVERGED:
            return self.fail("the run diverged", folder)
        if ending.status == TARGET_MISSED and config.require_target:
            self._miss(config, ending.best_train_error, folder)
        return ending.best_train_error

    def of_errors(self, folder: Path, action: Callable[[], float]) -> float:
        """Do what a job does; an error in it is recorded, except a UserError, which is raised."""
        try:
            return action()
        except UserError:
            raise
        except Exception as error:
            line, details = failure_line(error), traceback.format_exc()
            if not isinstance(error, OSError):
                check_interrupted()
                if not (is_expected(error) or sweeping()):
                    print(details, file=sys.stderr, end="")  # a bug
            best = self.record(folder, f"{line}{resume_hint(folder)}", details)
            if isinstance(error, ProcessLostError) and sweeping() and not self._job.beside_others():
                raise SystemExit(EXIT_FAILED) from error  # the jobs that are left would lack it too
            return best

    def record(self, folder: Path, line: str, details: str) -> float:
        """Fail a job, with `details` for the files in its folder."""
        record_failure(folder, line, details, self._command)
        return self.fail(line, folder)

    def fail(self, line: str, folder: Path) -> float:
        """Add the line of a job that failed."""
        if sweeping():
            line = f"{self._job.name()}: {line} [{shown_folder(folder)}]"
        self.failures.append(line)
        return math.inf

    def _miss(self, config: RunConfig, best: float, folder: Path) -> None:
        self.fail(
            f"target_error={config.target_error:g}: not reached, the best training error is "
            f"{significant(best)}; the results are in {shown_folder(folder)}",
            folder,
        )
