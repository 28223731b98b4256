"""How a run or a sweep that ended early is resumed, as the command line that its user is shown."""

import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from kfac_cli.checkpoint.folder import checkpoint_iterations
from kfac_cli.commands.current_job import sweeping
from kfac_cli.files import shown_folder
from kfac_cli.recording.layout import command_with_purpose


def resume_hint(folder: Path) -> str:
    """The end of a failed run's error line: how to resume, if there is a checkpoint."""
    with contextlib.suppress(OSError):
        if iterations := checkpoint_iterations(folder):
            return f"; {_resume_command(folder)} continues from iteration {iterations[0]}"
    return ""


@contextlib.contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Say how the run is resumed if a signal ends it within."""
    try:
        yield
    except KeyboardInterrupt:
        iterations = checkpoint_iterations(folder)
        start = f"continues from iteration {iterations[0]}" if iterations else "starts it again"
        say_how_to_resume(folder, start, ends_sweep=True)
        raise


def say_how_to_resume(folder: Path, what: str, *, ends_sweep: bool) -> None:
    """Print the command line that resumes the run, and that for a sweep which ends with it."""
    print(f"\n{command_with_purpose(_resume_command(folder), what, sys.stdout)}", flush=True)
    if ends_sweep and sweeping():
        purpose = "does the jobs that are left"
        print(command_with_purpose(resume_sweep_command(), purpose, sys.stdout), flush=True)


def resume_sweep_command() -> str:
    """The command line that resumes the sweep under way."""
    return _resume_command(Path(HydraConfig.get().sweep.dir), "-m")


def _resume_command(folder: Path, *options: str) -> str:
    """The command line that resumes the run or, with `-m`, the sweep."""
    return shlex.join(["kfac-run", *options, f"resume={shown_folder(folder)}"])
