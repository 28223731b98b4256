"""The folder of the data files."""

import os
from pathlib import Path

from kfac_cli.errors import UserError

VARIABLE = "KFAC_DATA_DIR"


def resolve_data_dir(setting: str | None) -> Path:
    """The absolute data folder: `setting`, else $KFAC_DATA_DIR, else the user's cache folder.

    It may not exist yet. Raises UserError if it is not a folder, or if the user has no home folder.
    """
    if setting:
        source, chosen = "data_dir", setting
    elif os.environ.get(VARIABLE):
        source, chosen = VARIABLE, os.environ[VARIABLE]
    else:
        source, chosen = "data_dir=null", str(_user_cache() / "kfac-run")
    try:
        folder = Path(chosen).expanduser().absolute()
    except RuntimeError as error:
        raise UserError(f"{source}={chosen}: {error}; give the path of a folder") from error
    if os.path.exists(folder) and not folder.is_dir():
        raise UserError(f"{source}={chosen}: is not a folder; give the path of a folder")
    return folder


def _user_cache() -> Path:
    """$XDG_CACHE_HOME if it is absolute, as its specification requires, else ~/.cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return Path(cache) if os.path.isabs(cache) else Path("~/.cache")
