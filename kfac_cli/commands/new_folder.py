"""Which folders a new run may use: none that holds anything worth keeping."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from kfac_cli.commands.hydra_record import SWEEP_FILE
from kfac_cli.commands.resume import read_ending
from kfac_cli.commands.run_log import LOG_FILE
from kfac_cli.config.settings_file import CONFIG_FILE
from kfac_cli.errors import UserError, shown
from kfac_cli.files import TEMPORARY, shown_folder
from kfac_cli.recording.summary import ERROR_FILE, FAILED, SUMMARY_FILE


def check_new_folder(folder: Path) -> None:
    """Raise UserError, naming the folder, if it is no place for a new run.

    It must be empty, but for the logs that Hydra has opened and what a start that failed or was
    interrupted before the training began leaves behind.
    """
    names = {path.name for path in folder.iterdir()}
    place = shown_folder(folder)
    if CONFIG_FILE in names:
        if _never_began(folder, names):
            return
        raise UserError(f"{place}: holds another run; choose a new folder")
    if others := sorted(names - _harmless(names)):
        raise UserError(
            f"{place}: is not empty and holds no run of kfac-run (it has {shown(others[0])}); "
            "choose a new or an empty folder"
        )


def clear_new_folder(folder: Path) -> None:
    """Remove what an earlier start, which `check_new_folder` lets pass, says of its failure."""
    for name in (ERROR_FILE, SUMMARY_FILE):
        (folder / name).unlink(missing_ok=True)


def _never_began(folder: Path, names: set[str]) -> bool:
    """Whether the run in a folder has nothing but its settings, its log and why it failed."""
    if LOG_FILE not in names:  # every start makes it first
        return False
    if SUMMARY_FILE in names:
        ending = read_ending(folder)
        if ending is None or ending.status != FAILED or ending.iterations > 0:
            return False
    return not names - _harmless(names) - {CONFIG_FILE, SUMMARY_FILE, ERROR_FILE}


def _harmless(names: set[str]) -> set[str]:
    harmless = {LOG_FILE, f"{CONFIG_FILE}{TEMPORARY}", f"{ERROR_FILE}{TEMPORARY}"}
    if LOG_FILE in names:  # every start makes it first, so that the other is of a failed one
        harmless.add(ERROR_FILE)
    return harmless | _opened_by_hydra()


def _opened_by_hydra() -> set[str]:
    """The names of log files that a changed `hydra.job_logging` has, and of a sweep's record."""
    logging = OmegaConf.to_container(HydraConfig.get().job_logging, resolve=True)
    handlers = logging.get("handlers") if isinstance(logging, dict) else None
    files = [
        Path(str(handler["filename"])).name
        for handler in (handlers.values() if isinstance(handlers, dict) else ())
        if isinstance(handler, dict) and handler.get("filename") is not None
    ]
    sweep = [SWEEP_FILE] if HydraConfig.get().mode == RunMode.MULTIRUN else []
    return {*files, *sweep}
