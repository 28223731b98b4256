"""One job of a kfac-run command: run it in its folder and record its errors."""

import contextlib
import math
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from kfac_cli.checkpoint.folder import checkpoint_iterations
from kfac_cli.commands.failures import record_failure
from kfac_cli.commands.new_folder import ERROR_FILE, check_new_folder, clear_new_folder
from kfac_cli.commands.resume import Resumption, prepare_resumption, read_ending, refuse_links
from kfac_cli.commands.run_log import begin_logs
from kfac_cli.commands.submitted_tasks import export_task
from kfac_cli.commands.sweeps import Job, swept_settings
from kfac_cli.config.completion import complete
from kfac_cli.config.schema import RunConfig, flat_settings
from kfac_cli.config.settings_file import CONFIG_FILE, write_settings
from kfac_cli.errors import ProcessLostError, UserError, shown
from kfac_cli.files import exclusive_use, shown_folder
from kfac_cli.recording.processors import Load
from kfac_cli.recording.progress import Progress
from kfac_cli.recording.summary import (
    DIVERGED,
    FAILED,
    INTERRUPTED,
    SUMMARY_FILE,
    TARGET_MISSED,
    TIME_LIMIT_REACHED,
)
from kfac_cli.recording.values import significant
from kfac_cli.run.failures import failure_line, is_expected
from kfac_cli.run.launched import launched, rank
from kfac_cli.run.lifelines import LED
from kfac_cli.signals import Interrupted, check_interrupted
from kfac_cli.terminal import tolerant_output

if TYPE_CHECKING:
    from kfac_cli.run.runner import RunResult


class Jobs:
    """The jobs of one command: a single one, or those of a sweep, which continues after failures.

    `failures` has a line for each failed job, in the order in which they ran, `of_sweep` all jobs
    of a sweep that ran in this process. With the `resumed_grid` of a sweep, jobs that have ended
    are skipped and those that have begun are resumed.
    """

    def __init__(self, resumed_grid: Sequence[str] | None = None) -> None:
        self.failures: list[str] = []
        self.resumes_sweep = resumed_grid is not None
        self.sweep: Path | None = None
        self.of_sweep: list[Job] = []
        self._process = os.getpid()
        self._swept = swept_settings(sys.argv[1:] if resumed_grid is None else resumed_grid)
        self._command = shlex.join(["kfac-run", *sys.argv[1:]])  # as it was typed

    def run(self, settings: DictConfig) -> float:
        """Run one job, as Hydra's task function; return its best training error, for sweepers.

        A failed job returns infinity. Raises Interrupted if a signal ended the job, which ends a
        sweep too. Of several tasks that a launcher starts for a job the first one runs it, and the
        others, which return infinity, take part.
        """
        if not (self._beside_others() and export_task()):
            return self._run_job(settings)
        if rank() > 0:
            from kfac_cli.run.follower import follow

            follow("kfac-run")
            return math.inf
        from kfac_cli.run.leader import leading

        with leading():
            return self._run_job(settings)

    def _run_job(self, settings: DictConfig) -> float:
        job = HydraConfig.get()
        folder, sweep = Path(job.runtime.output_dir), Path(job.sweep.dir)
        # Where the command was typed: hydra.job.chdir=true must not change what a path means.
        with contextlib.chdir(job.runtime.cwd), _beside_other_jobs(sweep, folder):
            best = self._run_in(folder, settings)
        if _sweeping():
            self.sweep = sweep.absolute()
            self.of_sweep.append(Job(folder, list(job.overrides.task), best))
        if self._beside_others() and self.failures:
            # The process that counts failures does not see those of this one, and reports one.
            print(self.failures[-1], file=sys.stderr, flush=True)
            raise UserError(self.failures[-1])
        return best

    def _run_in(self, folder: Path, settings: DictConfig) -> float:
        if launched() and LED.get() is None:
            launcher = (
                "hydra/launcher: runs jobs beside each other, but several processes share one"
            )
            raise UserError(f"{launcher}; remove it, or start one process")
        with tolerant_output():  # again, for a parallel launcher's process
            if self.resumes_sweep and (folder / CONFIG_FILE).exists():
                return self._continue(settings, folder)
            with exclusive_use(folder):
                return self._begin(settings, folder)

    def _begin(self, settings: DictConfig, folder: Path) -> float:
        try:
            check_new_folder(folder)
        except UserError as error:  # write nothing there
            self._add_failure(str(error), folder)
            return math.inf
        try:
            return self._record_errors(folder, lambda: self._start(settings, folder))
        except UserError as error:
            return self._record_failure(folder, str(error), f"{error}\n")

    def resume(self, resumption: Resumption) -> float:
        """Resume a run; otherwise like `run`.

        Raises UserError, and leaves the folder unchanged, if the settings do not fit the run.
        """
        with exclusive_use(resumption.folder):
            return self._record_errors(resumption.folder, lambda: self._resume(resumption))

    def _record_errors(self, folder: Path, action: Callable[[], float]) -> float:
        try:
            return action()
        except UserError:
            raise
        except Exception as error:
            line, details = failure_line(error), traceback.format_exc()
            if not isinstance(error, OSError):
                check_interrupted()
                if not (is_expected(error) or _sweeping()):
                    print(details, file=sys.stderr, end="")  # a bug
            best = self._record_failure(folder, f"{line}{_resume_hint(folder)}", details)
            if isinstance(error, ProcessLostError) and _sweeping() and not self._beside_others():
                raise SystemExit(1) from error  # the jobs that are left would lack it too
            return best

    def _record_failure(self, folder: Path, line: str, details: str) -> float:
        record_failure(folder, line, details, self._command)
        self._add_failure(line, folder)
        return math.inf

    def _continue(self, settings: DictConfig, folder: Path) -> float:
        """Resume a job of a sweep, unless it has ended."""
        begin_logs()
        try:
            refuse_links(folder)
            resumption = prepare_resumption(folder, [])
            config = complete(settings)
            _check_same(folder, resumption, config)
            ending = read_ending(folder)
            if ending is None or ending.status in (INTERRUPTED, FAILED):
                return self.resume(resumption)
        except UserError as error:
            self._add_failure(str(error), folder)
            return math.inf
        print(f"{shown_folder(folder)}: {ending.status}, skipped", flush=True)
        if ending.status == DIVERGED:
            self._add_failure("the run diverged", folder)
        if ending.status == TARGET_MISSED and config.require_target:
            self._add_miss(config, ending.best_train_error, folder)
        return math.inf if ending.status == DIVERGED else ending.best_train_error

    def _start(self, settings: DictConfig, folder: Path) -> float:
        clear_new_folder(folder)
        begin_logs()
        config = complete(settings)  # so that the run resumes from any folder
        write_settings(settings, folder)
        with _resumable(folder), Progress(config.iterations, label=self._label()) as progress:
            progress.start(config.title)
            progress.activity("loading PyTorch")
            load = Load.now()
            from kfac_cli.run.runner import run  # here, because importing torch takes seconds

            check_interrupted()
            result = run(
                config,
                folder,
                progress,
                command=self._command,
                turn=self._turn(),
                swept=self._swept_words(),
                load=load,
            )
        return self._report_outcome(result, config, folder)

    def _resume(self, resumption: Resumption) -> float:
        folder, config = resumption.folder, resumption.config
        files = {SUMMARY_FILE: None, ERROR_FILE: None, CONFIG_FILE: resumption.settings}
        with _resumable(folder), Progress(config.iterations, label=self._label()) as progress:
            progress.start(config.title)
            progress.activity("loading PyTorch")
            load = Load.now()
            from kfac_cli.run.runner import run
            from kfac_cli.run.saved_run import read_saved_run

            check_interrupted()
            saved = read_saved_run(config, folder, files)
            progress.message(f"resuming from iteration {saved.iteration}")
            result = run(
                config,
                folder,
                progress,
                saved,
                self._command,
                self._turn(),
                swept=self._swept_words(),
                load=load,
            )
        return self._report_outcome(result, config, folder)

    def _report_outcome(self, result: "RunResult", config: RunConfig, folder: Path) -> float:
        missed = result.status == TARGET_MISSED
        out_of_time = missed and result.iterations < config.iterations
        if out_of_time or result.status in (INTERRUPTED, TIME_LIMIT_REACHED):
            _say_how_to_resume(folder, "continues from here")
        if result.status == INTERRUPTED or result.signal is not None:
            raise Interrupted(result.signal or signal.SIGINT)
        if result.status == DIVERGED:
            why = "" if result.reason is None else f": {result.reason}"
            self._add_failure(
                f"the run diverged{why}; its results until then are in {shown_folder(folder)}",
                folder,
            )
        if missed and config.require_target:
            self._add_miss(config, result.best_train_error, folder)
        return result.best_train_error

    def _add_miss(self, config: RunConfig, best: float, folder: Path) -> None:
        self._add_failure(
            f"target_error={config.target_error:g}: not reached, the best training error is "
            f"{significant(best)}; the results are in {shown_folder(folder)}",
            folder,
        )

    def _add_failure(self, line: str, folder: Path) -> None:
        if _sweeping():
            line = f"{self._job_name()}: {line} [{shown_folder(folder)}]"
        self.failures.append(line)

    def _job_name(self) -> str:
        """The number of a job of a sweep and its values of what is swept."""
        return f"job {HydraConfig.get().job.num} ({' '.join(self._swept_words())})"

    def _swept_words(self) -> list[str]:
        """What the sweep gave this job; nothing for a single run."""
        task = HydraConfig.get().overrides.task if _sweeping() else []
        return [word for word in task if word.partition("=")[0] in self._swept]

    def _beside_others(self) -> bool:
        """Whether a parallel launcher runs this in a process of its own."""
        return os.getpid() != self._process

    def _label(self) -> str | None:
        """What each line of output begins with, if other jobs write to the same terminal."""
        return self._job_name() if self._beside_others() else None

    def _turn(self) -> int | None:
        """The number of a job beside others."""
        return int(HydraConfig.get().job.num) if self._beside_others() else None


def _check_same(folder: Path, resumption: Resumption, config: RunConfig) -> None:
    """Raise UserError if the job that now has a number is not the one in its folder."""
    before, now = flat_settings(resumption.config), flat_settings(config)
    for name in [*before, *now]:
        if before.get(name) != now.get(name):
            raise UserError(
                f"{shown_folder(folder / CONFIG_FILE)}: {name}={shown(before.get(name))}, but the "
                f"sweep has {shown(now.get(name))} there: its grid was changed"
            )


def _beside_other_jobs(sweep: Path, folder: Path) -> contextlib.AbstractContextManager[None]:
    """Share the lock of a sweep's folder, except for a job that runs in that very folder.

    Such a job (`hydra.sweep.subdir=.`) locks it as its own.
    """
    if not _sweeping() or sweep.resolve() == folder.resolve():
        return contextlib.nullcontext()
    return exclusive_use(sweep, shared=True)


def _sweeping() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def _resume_hint(folder: Path) -> str:
    """The end of a failed run's error line: how to resume, if there is a checkpoint."""
    with contextlib.suppress(OSError):
        if iterations := checkpoint_iterations(folder):
            return f"; {_resume_command(folder)} continues from iteration {iterations[0]}"
    return ""


@contextlib.contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """Say how the run is resumed if a signal ends it within."""
    try:
        yield
    except KeyboardInterrupt:
        iterations = checkpoint_iterations(folder)
        start = f"continues from iteration {iterations[0]}" if iterations else "starts it again"
        _say_how_to_resume(folder, start)
        raise


def _say_how_to_resume(folder: Path, what: str) -> None:
    """Print the command line that resumes the run, and that for the sweep which it belongs to."""
    print(f"\n  {_resume_command(folder)}  {what}", flush=True)
    if _sweeping():
        sweep = Path(HydraConfig.get().sweep.dir)
        print(f"  {_resume_command(sweep, '-m')}  does the jobs that are left", flush=True)


def _resume_command(folder: Path, *options: str) -> str:
    """The command line that resumes the run or, with `-m`, the sweep."""
    return shlex.join(["kfac-run", *options, f"resume={shown_folder(folder)}"])
