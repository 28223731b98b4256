"""One job of a call of kfac-run: run it in its folder, and keep what went wrong."""

import contextlib
import math
import os
import signal
import sys
import traceback
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from kfac_cli.config.validation import validate
from kfac_cli.errors import UserError

CONFIG_FILE = "config.yaml"
ERROR_FILE = "error.log"


class Interrupted(KeyboardInterrupt):
    """A signal ended a run, which has saved what it had; `signal` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = number


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
            self._fail(f"{_shown(folder)}: holds another run; choose a new folder", folder)
            return math.inf
        try:
            return self._run(settings, folder)
        except UserError as error:
            line, details = str(error), f"{error}\n"
        except OSError as error:
            where = f"{error.filename}: " if error.filename is not None else ""
            line, details = f"{where}{error.strerror or error}", traceback.format_exc()
        except Exception as error:
            details = traceback.format_exc()
            line = _out_of_memory(error) or self._report_bug(error, details)
        with contextlib.suppress(OSError):  # the disk may be what failed
            (folder / ERROR_FILE).write_text(details, encoding="utf-8")
        self._fail(line, folder)
        return math.inf

    def _run(self, settings: DictConfig, folder: Path) -> float:
        config = validate(settings)
        OmegaConf.save(settings, folder / CONFIG_FILE, resolve=True)
        from kfac_cli.runner import run  # here, because it imports torch

        result = run(config, folder)
        if result.status == "interrupted":
            raise Interrupted(result.signal or signal.SIGINT)
        if result.status == "diverged":
            self._fail(f"the run diverged; what it had until then is in {_shown(folder)}", folder)
        return result.best_train_error

    def _fail(self, line: str, folder: Path) -> None:
        job = HydraConfig.get()
        if job.mode == RunMode.MULTIRUN:
            line = f"job {job.job.num} ({' '.join(job.overrides.task)}): {line} [{_shown(folder)}]"
        self.failures.append(line)
        if os.getpid() != self._process:
            # A parallel launcher runs this in a process of its own, whose `failures` nobody sees.
            raise UserError(line)

    @staticmethod
    def _report_bug(error: Exception, details: str) -> str:
        if HydraConfig.get().mode != RunMode.MULTIRUN:
            print(details, file=sys.stderr, end="")
        text = " ".join(str(error).split())
        return f"{type(error).__name__}: {text}"


def _shown(folder: Path) -> Path:
    """The folder as a person in the current directory would name it."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _out_of_memory(error: Exception) -> str | None:
    """One line for what PyTorch and Python raise when memory runs out; None for other errors."""
    unavailable = "can't allocate memory" in str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or unavailable:
        return "out of memory: a smaller chunk_size or a smaller network needs less"
    return None
