"""The command kfac-run: compose the settings, check them, run the jobs, return an exit code.

Nothing here imports torch before a run starts, so that help and shell completion are fast.
"""

import argparse
import io
import os
import re
import secrets
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import hydra
from hydra._internal.hydra import Hydra
from omegaconf import OmegaConf

from kfac_cli.commands.arguments import parse
from kfac_cli.commands.complete_paths import path_completions
from kfac_cli.commands.help_page import print_page
from kfac_cli.commands.hydra_record import (
    refuse_output_subdir,
    refuse_used_sweep_folder,
    without_record,
)
from kfac_cli.commands.job_folders import register_job_folder
from kfac_cli.commands.jobs import Jobs
from kfac_cli.commands.messages import explain
from kfac_cli.commands.quoting import with_quoted_paths
from kfac_cli.commands.resume import (
    KEYWORD,
    folder_to_resume,
    logging_to,
    prepare_resumption,
    reason_not_to_resume,
)
from kfac_cli.commands.sweep_resume import (
    SavedSweep,
    check_unchanged,
    command_line,
    moved_data,
    sweep_to_resume,
)
from kfac_cli.commands.sweeps import (
    check_sweep,
    jobs_in,
    sweep_folder,
    sweep_ranking,
    swept_settings,
)
from kfac_cli.commands.value_check import check_sweep_values, check_values
from kfac_cli.config.choices import CONFIG_MODULE
from kfac_cli.config.compose import CONFIG_NAME, HYDRA_VERSION_BASE
from kfac_cli.error_line import EXIT_FAILED, FULL_ERROR, print_error
from kfac_cli.errors import UserError, background_errors_logged, shown
from kfac_cli.files import exclusive_use, shown_folder
from kfac_cli.signals import check_interrupted
from kfac_cli.terminal import exit_code_of_text

MAX_FOLDER_NAME_LENGTH = 64


def main() -> int:
    """Run the command line in sys.argv; return 0, or 1 after a failure.

    Raises KeyboardInterrupt, usually as Interrupted, if a signal ended it.
    """
    sys.argv[1:] = arguments = with_quoted_paths(sys.argv[1:])
    overrides: list[str] = []
    wants_traceback = os.environ.get(FULL_ERROR) == "1"
    stamp = run_stamp()  # one for the whole command, so that a sweep's folder is known
    OmegaConf.register_new_resolver("run_stamp", lambda: stamp, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
    register_job_folder(swept_settings(arguments))
    try:
        if "--version" in arguments:
            print(f"kfac-run {version('kfac-run')}")
            return exit_code_of_text()
        options = parse(arguments)
        if options.help:
            return print_page()
        overrides = list(options.overrides)
        if options.shell_completion and (found := path_completions(overrides)) is not None:
            print(*found)
            return exit_code_of_text()
        with background_errors_logged():
            _check_current_folder()
            if options.multirun and (sweep := sweep_to_resume(overrides)) is not None:
                return _resume_sweep(sweep, options)
            folder = folder_to_resume(overrides)
            return _run_hydra(options, Jobs()) if folder is None else _resume(folder, options)
    except UserError as error:
        return print_error("kfac-run", str(error))
    except Exception as error:
        check_interrupted()
        # Jobs records the exceptions of jobs, so this one comes from composing the settings or
        # creating a folder.
        if wants_traceback:
            traceback.print_exc()
        if isinstance(error, OSError) and error.filename is None and error.errno is not None:
            # A full disk is noticed after opening a file: Hydra's record of the sweep.
            sweep_at = sweep_folder(overrides)
            error.filename = None if sweep_at is None else shown_folder(sweep_at)
        return print_error("kfac-run", explain(error, overrides))


def run_stamp() -> str:
    """A unique folder name, also among runs that start in the same second."""
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(4)}"


def folder_name(name: object) -> str:
    """The name as a safe folder name: Hydra creates the folder before the settings are checked."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", str(name))[:MAX_FOLDER_NAME_LENGTH] or "_"


def _check_current_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        reason = f"{error.strerror}; change to a folder that exists"
        raise UserError(f"the current folder: {reason}") from error
    if "${" in str(Path.cwd()):
        reason = "has ${ in its path, which Hydra replaces by a setting; rename it or go elsewhere"
        raise UserError(f"the current folder: {reason}")


def _has_options(options: argparse.Namespace) -> bool:
    """Whether options ask for anything but a single run of the shipped configuration."""
    elsewhere = options.config_path or options.config_name or options.config_dir
    return bool(_only_prints(options) or options.multirun or elsewhere)


def _only_prints(options: argparse.Namespace) -> bool:
    """Whether options ask for text instead of a run."""
    asks = options.hydra_help or options.shell_completion
    return bool(asks or options.cfg is not None or options.info is not None)


def _run_hydra(options: argparse.Namespace, jobs: Jobs) -> int:
    check_sweep(options.overrides)
    refuse_output_subdir(options.overrides)
    if not jobs.resumes_sweep:
        refuse_used_sweep_folder(options.overrides)
    refusal = _check_before_creating_folders(options, jobs)
    application = hydra.main(
        config_path=f"pkg://{CONFIG_MODULE}",
        config_name=CONFIG_NAME,
        version_base=HYDRA_VERSION_BASE,
    )(jobs.run)
    with (
        _propagating_exceptions(),
        _printing_failures(jobs),
        _explaining_package(options),
        _one_composition_less(options),
        without_record(options),
    ):
        try:
            application()
        finally:
            check_interrupted()
            if options.multirun and not _only_prints(options):
                _print_ranking(options, jobs)
    if refusal is not None:
        raise refusal
    if _only_prints(options):
        return exit_code_of_text()
    return EXIT_FAILED if jobs.failures else 0


def _print_ranking(options: argparse.Namespace, jobs: Jobs) -> None:
    sweep, done = jobs.sweep, jobs.of_sweep
    if sweep is None:  # its jobs ran in other processes
        sweep = sweep_folder(options.overrides)
        done = jobs_in(sweep, options.overrides) if sweep is not None else []
    if len(done) > 1 and sweep is not None:
        print(sweep_ranking(done, sweep), flush=True)


def _resume_sweep(sweep: SavedSweep, options: argparse.Namespace) -> int:
    if _has_options(argparse.Namespace(**{**vars(options), "multirun": False})):
        raise UserError(f"{KEYWORD}{shown_folder(sweep.folder)}: takes no option but -m")
    check_unchanged(sweep, options.overrides)
    moved = moved_data(sweep, options.overrides)
    jobs = Jobs(sweep.grid, moved)
    register_job_folder(swept_settings(sweep.grid), sweep.folder)
    with exclusive_use(sweep.folder):
        pass  # no other process runs its jobs
    with command_line(sweep, moved):
        return _run_hydra(parse(sys.argv[1:]), jobs)


def _resume(folder: Path, options: argparse.Namespace) -> int:
    if _has_options(options):
        raise UserError(f"{KEYWORD}{shown_folder(folder)}: resumes one run and takes no options")
    resumption = prepare_resumption(folder, options.overrides)
    if (reason := reason_not_to_resume(resumption)) is not None:
        print(reason)
        return 0
    jobs = Jobs()
    with logging_to(folder), _printing_failures(jobs):
        jobs.resume(resumption)
    return EXIT_FAILED if jobs.failures else 0


@contextmanager
def _printing_failures(jobs: Jobs) -> Iterator[None]:
    try:
        yield
    finally:
        for line in jobs.failures:
            print_error("kfac-run", line)


def _check_before_creating_folders(options: argparse.Namespace, jobs: Jobs) -> UserError | None:
    """Refuse wrong settings before a folder exists; return the error if they are only printed."""
    if options.config_path or options.config_name or options.config_dir or jobs.resumes_sweep:
        return None
    check = check_sweep_values if options.multirun else check_values
    if not _only_prints(options):
        check(options.overrides)
    elif options.cfg == "job":
        try:
            check(options.overrides)
        except UserError as error:
            return error
    return None


@contextmanager
def _explaining_package(options: argparse.Namespace) -> Iterator[None]:
    """Report an unknown --package in one line, and return where Hydra would exit by itself."""
    try:
        with redirect_stderr(io.StringIO()) if options.package else nullcontext():
            yield
    except SystemExit as leaving:
        if not leaving.code:
            return
        if not options.package:
            raise
        advice = "no such part of the settings; kfac-run --cfg job shows all of them"
        raise UserError(f"--package {shown(options.package)}: {advice}") from None


@contextmanager
def _one_composition_less(options: argparse.Namespace) -> Iterator[None]:
    """Keep Hydra from composing the settings once more, only to find hydra.mode in them.

    Nothing shipped sets it. It is searched for where own configurations or settings of Hydra's may.
    """
    harmless = ("hydra.run.dir=", "hydra.sweep.dir=")
    own = options.config_path or options.config_name or options.config_dir
    if own or any("hydra" in word and not word.startswith(harmless) for word in options.overrides):
        yield
        return
    before = Hydra.get_mode
    Hydra.get_mode = lambda *_, **__: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.get_mode = before  # type: ignore[method-assign]


@contextmanager
def _propagating_exceptions() -> Iterator[None]:
    """Keep Hydra from printing exceptions and exiting, by its documented switch."""
    before = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[FULL_ERROR]
        else:
            os.environ[FULL_ERROR] = before
