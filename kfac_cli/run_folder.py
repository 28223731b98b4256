"""A run's folder: its settings, and that no two processes write in it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from kfac_cli.errors import UserError
from kfac_cli.recording.files import replace_text

try:
    import fcntl
except ImportError:  # not a Unix: there the folder is not locked
    fcntl = None  # type: ignore[assignment]

CONFIG_FILE = "config.yaml"
SUMMARY_FILE = "summary.json"


def write_settings(settings: DictConfig, folder: Path) -> None:
    """Leave every setting, resolved, in the folder, whole or not at all."""
    replace_text(folder / CONFIG_FILE, OmegaConf.to_yaml(settings, resolve=True))


def shown_folder(folder: Path) -> Path:
    """The folder as a person in the current directory would name it."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


@contextlib.contextmanager
def exclusive_use(folder: Path) -> Iterator[None]:
    """Hold a folder against other processes of kfac-run; the lock goes when the process does.

    Raises UserError if another one holds it.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{shown_folder(folder)}: another kfac-run is at work there") from None
        except OSError:  # some network file systems cannot lock a folder
            pass
        yield
    finally:
        os.close(descriptor)
