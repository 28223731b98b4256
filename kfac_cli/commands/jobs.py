"""The jobs of a kfac-run command, each run or resumed in its folder."""

import contextlib
import math
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from kfac_cli.commands.current_job import CurrentJob, sweeping
from kfac_cli.commands.new_folder import check_new_folder, clear_new_folder
from kfac_cli.commands.outcomes import Outcomes
from kfac_cli.commands.resume import Resumption, prepare_resumption, read_ending, refuse_links
from kfac_cli.commands.resume_command import resumable, resume_sweep_command
from kfac_cli.commands.run_log import begin_logs
from kfac_cli.commands.submitted_tasks import export_task, submitted
from kfac_cli.commands.sweeps import Job
from kfac_cli.config.completion import complete
from kfac_cli.config.resuming import MAY_CHANGE
from kfac_cli.config.schema import RunConfig, flat_settings
from kfac_cli.config.settings_file import CONFIG_FILE, write_settings
from kfac_cli.errors import UserError, shown
from kfac_cli.files import exclusive_use, shown_folder
from kfac_cli.recording.processors import Load
from kfac_cli.recording.progress import Progress
from kfac_cli.recording.summary import ERROR_FILE, FAILED, INTERRUPTED, SUMMARY_FILE
from kfac_cli.run.launched import launched, rank
from kfac_cli.run.lifelines import LED
from kfac_cli.signals import check_interrupted
from kfac_cli.terminal import tolerant_output


class Jobs:
    """The jobs of one command: a single one, or those of a sweep, which continues after failures.

    `of_sweep` has all jobs of a sweep that ran in this process. With the `resumed_grid` of a sweep,
    jobs that have ended are skipped and those that have begun are resumed, on `moved_data` if a
    word says where these are.
    """

    def __init__(
        self, resumed_grid: Sequence[str] | None = None, moved_data: Sequence[str] = ()
    ) -> None:
        self.resumes_sweep = resumed_grid is not None
        self.sweep: Path | None = None
        self.of_sweep: list[Job] = []
        self._job = CurrentJob(sys.argv[1:] if resumed_grid is None else resumed_grid)
        self._command = shlex.join(["kfac-run", *sys.argv[1:]])  # as it was typed
        self._moved_data = moved_data
        self._outcomes = Outcomes(self._job, self._command)

    @property
    def failures(self) -> list[str]:
        """A line for each failed job, in the order in which they ran."""
        return self._outcomes.failures

    def run(self, settings: DictConfig) -> float:
        """Run one job, as Hydra's task function; return its best training error, for sweepers.

        A failed job returns infinity. Raises Interrupted if a signal ended the job, which ends a
        sweep too, but not one whose jobs submitit started: the others go on. Of several tasks that
        a launcher starts for a job the first one runs it, and the others, which return infinity,
        take part.
        """
        if not (self._job.beside_others() and export_task()):
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
            best = self._handing_on_signals(folder, lambda: self._run_in(folder, settings))
        if sweeping():
            self.sweep = sweep.absolute()
            self.of_sweep.append(Job(folder, list(job.overrides.task), best))
        if self._job.beside_others() and self.failures:
            # The process that counts failures does not see those of this one, and reports one.
            print(self.failures[-1], file=sys.stderr, flush=True)
            raise UserError(self.failures[-1])
        return best

    def _handing_on_signals(self, folder: Path, action: Callable[[], float]) -> float:
        """Run a job; that a signal ended one which submitit started is the failure of that job.

        Neither submitit nor Hydra hands a KeyboardInterrupt on, and the command would wait for no
        other job.
        """
        try:
            return action()
        except KeyboardInterrupt:
            if not (self._job.beside_others() and submitted()):
                raise
            hint = f"interrupted; {resume_sweep_command()} continues it"
            return self._outcomes.fail(hint, folder)

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
            return self._outcomes.fail(str(error), folder)
        try:
            return self._outcomes.of_errors(folder, lambda: self._start(settings, folder))
        except UserError as error:
            return self._outcomes.record(folder, str(error), f"{error}\n")

    def resume(self, resumption: Resumption) -> float:
        """Resume a run; otherwise like `run`.

        Raises UserError, and leaves the folder unchanged, if the settings do not fit the run.
        """
        with exclusive_use(resumption.folder):
            return self._outcomes.of_errors(resumption.folder, lambda: self._resume(resumption))

    def _continue(self, settings: DictConfig, folder: Path) -> float:
        """Resume a job of a sweep, unless it has ended."""
        begin_logs()
        try:
            refuse_links(folder)
            resumption = prepare_resumption(folder, self._moved_data)
            config = complete(settings)
            _check_same(folder, resumption, config)
            ending = read_ending(folder)
            if ending is None or ending.status in (INTERRUPTED, FAILED):
                return self.resume(resumption)
        except UserError as error:
            return self._outcomes.fail(str(error), folder)
        return self._outcomes.of_earlier(ending, config, folder)

    def _start(self, settings: DictConfig, folder: Path) -> float:
        clear_new_folder(folder)
        begin_logs()
        config = complete(settings)  # so that the run resumes from any folder
        write_settings(settings, folder)
        return self._train(config, folder)

    def _resume(self, resumption: Resumption) -> float:
        files = {SUMMARY_FILE: None, ERROR_FILE: None, CONFIG_FILE: resumption.settings}
        return self._train(resumption.config, resumption.folder, files)

    def _train(
        self, config: RunConfig, folder: Path, files: Mapping[str, str | None] | None = None
    ) -> float:
        """Train in the folder; what it holds is resumed where `files` say what to replace there."""
        with resumable(folder), Progress(config.iterations, label=self._job.label()) as progress:
            progress.start(config.title)
            progress.activity("loading PyTorch")
            load = Load.now()
            from kfac_cli.run.runner import run  # here, because importing torch takes seconds
            from kfac_cli.run.saved_run import read_saved_run

            check_interrupted()
            saved = None
            if files is not None:
                saved = read_saved_run(config, folder, files)
                progress.message(f"resuming from iteration {saved.iteration}")
            result = run(
                config,
                folder,
                progress,
                saved=saved,
                command=self._command,
                turn=self._job.turn(),
                swept=self._job.swept_words(),
                load=load,
            )
        return self._outcomes.of_result(result, config, folder)


def _check_same(folder: Path, resumption: Resumption, config: RunConfig) -> None:
    """Raise UserError if the job that now has a number is not the one in its folder.

    It may have been resumed by itself, with other values of what may change.
    """
    before, now = flat_settings(resumption.config), flat_settings(config)
    for name in [*before, *now]:
        if before.get(name) != now.get(name) and name not in MAY_CHANGE:
            raise UserError(
                f"{shown_folder(folder / CONFIG_FILE)}: {name}={shown(before.get(name))}, but the "
                f"sweep has {shown(now.get(name))} there: its grid was changed, or a default in "
                "this version"
            )


def _beside_other_jobs(sweep: Path, folder: Path) -> contextlib.AbstractContextManager[None]:
    """Share the lock of a sweep's folder, except for a job that runs in that very folder.

    Such a job (`hydra.sweep.subdir=.`) locks it as its own.
    """
    if not sweeping() or sweep.resolve() == folder.resolve():
        return contextlib.nullcontext()
    return exclusive_use(sweep, shared=True)
