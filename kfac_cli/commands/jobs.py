"""One job of a call of kfac-run: run it in its folder, and keep what went wrong."""

import contextlib
import math
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from kfac_cli.checkpoint.folder import checkpoint_iterations
from kfac_cli.commands.settings_file import CONFIG_FILE, write_settings
from kfac_cli.config.validation import validate
from kfac_cli.errors import UserError
from kfac_cli.files import exclusive_use, replace_text, shown_folder
from kfac_cli.recording.progress import Progress
from kfac_cli.recording.summary import SUMMARY_FILE
from kfac_cli.run.stopping import DIVERGED, INTERRUPTED, TIME_LIMIT_REACHED
from kfac_cli.signals import Interrupted, check_interrupted

if TYPE_CHECKING:
    from kfac_cli.run.runner import RunResult

ERROR_FILE = "error.log"


class Jobs:
    """The jobs of one call: a single one, or those of a sweep, none of which stops the others.

    `failures` has a line for each job that did not end well, in the order in which they ran.
    """

    def __init__(self) -> None:
        self.failures: list[str] = []
        self._process = os.getpid()

    def run(self, settings: DictConfig) -> float:
        """Hydra's task function: run one job; return its best training error, for sweepers.

        A job that failed returns infinity, the worst error there is. Raises Interrupted if a signal
        ended the job; it ends a sweep too.
        """
        folder = Path(HydraConfig.get().runtime.output_dir)
        if (folder / CONFIG_FILE).exists():  # named by hydra.run.dir, say; nothing is written there
            self._fail(f"{shown_folder(folder)}: holds another run; choose a new folder", folder)
            return math.inf
        with exclusive_use(folder):
            try:
                return self._attempt(folder, lambda: self._begin(settings, folder))
            except UserError as error:
                return self._give_up(folder, str(error), f"{error}\n")

    def resume(self, folder: Path, settings: DictConfig) -> float:
        """Go on with the run in `folder` under `settings`; otherwise like `run`.

        Raises UserError, and leaves the folder as it is, if they do not fit each other.
        """
        with exclusive_use(folder):
            return self._attempt(folder, lambda: self._resume(settings, folder))

    def _attempt(self, folder: Path, action: Callable[[], float]) -> float:
        try:
            return action()
        except UserError:
            raise
        except OSError as error:
            where = f"{error.filename}: " if error.filename is not None else ""
            line, details = f"{where}{error.strerror or error}", traceback.format_exc()
        except Exception as error:
            check_interrupted()
            details = traceback.format_exc()
            line = _out_of_memory(error) or self._report_bug(error, details)
        return self._give_up(folder, f"{line}{_resume_hint(folder)}", details)

    def _give_up(self, folder: Path, line: str, details: str) -> float:
        with contextlib.suppress(OSError):  # the disk may be what failed
            replace_text(folder / ERROR_FILE, details)
        self._fail(line, folder)
        return math.inf

    def _begin(self, settings: DictConfig, folder: Path) -> float:
        config = validate(settings)
        write_settings(settings, folder)
        with Progress(config.iterations) as progress:
            progress.start(config.title)
            from kfac_cli.run.runner import run  # here, because importing torch takes seconds

            check_interrupted()
            result = run(config, folder, progress)
        return self._conclude(result, folder)

    def _resume(self, settings: DictConfig, folder: Path) -> float:
        config = validate(settings)

        def taken_up() -> None:
            for outdated in (SUMMARY_FILE, ERROR_FILE):
                (folder / outdated).unlink(missing_ok=True)
            write_settings(settings, folder)

        with Progress(config.iterations) as progress:
            progress.start(config.title)
            from kfac_cli.run.checkpointing import SavedRun
            from kfac_cli.run.runner import run

            check_interrupted()
            earlier = SavedRun(config, folder, taken_up)
            progress.message(f"going on from iteration {earlier.iteration}")
            result = run(config, folder, progress, earlier)
        return self._conclude(result, folder)

    def _conclude(self, result: "RunResult", folder: Path) -> float:
        if result.status in (INTERRUPTED, TIME_LIMIT_REACHED):
            print(f"\n  {_command(folder)}  goes on from here", flush=True)
        if result.status == INTERRUPTED or result.signal is not None:
            raise Interrupted(result.signal or signal.SIGINT)
        if result.status == DIVERGED:
            why = "" if result.reason is None else f": {result.reason}"
            self._fail(
                f"the run diverged{why}; what it had until then is in {shown_folder(folder)}",
                folder,
            )
        return result.best_train_error

    def _fail(self, line: str, folder: Path) -> None:
        if _sweeping():
            job = HydraConfig.get()
            name = f"job {job.job.num} ({' '.join(job.overrides.task)})"
            line = f"{name}: {line} [{shown_folder(folder)}]"
        self.failures.append(line)
        if os.getpid() != self._process:
            # A parallel launcher runs this in a process of its own, whose `failures` nobody sees.
            raise UserError(line)

    @staticmethod
    def _report_bug(error: Exception, details: str) -> str:
        if not _sweeping():
            print(details, file=sys.stderr, end="")
        text = " ".join(str(error).split())
        return f"{type(error).__name__}: {text}"


def _sweeping() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def _resume_hint(folder: Path) -> str:
    """What to add to the line about a failed run if something of it was kept."""
    with contextlib.suppress(OSError):
        if iterations := checkpoint_iterations(folder):
            return f"; {_command(folder)} goes on from iteration {iterations[0]}"
    return ""


def _command(folder: Path) -> str:
    """What a person types to go on."""
    return shlex.join(["kfac-run", f"resume={shown_folder(folder)}"])


def _out_of_memory(error: Exception) -> str | None:
    """One line for what PyTorch and Python raise when memory runs out; None for other errors."""
    unavailable = "can't allocate memory" in str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or unavailable:
        return "out of memory: a smaller chunk_size or a smaller network needs less"
    return None
