"""The Tab key after resume= and start_from=: folders, which Hydra's completion does not offer."""

import os
from collections.abc import Sequence
from pathlib import Path

from kfac_cli.config.settings_file import CONFIG_FILE

KEYS = ("resume=", "start_from=")


def path_completions(overrides: Sequence[str]) -> list[str] | None:
    """The completions of the word at the cursor; None if Hydra is to complete it.

    The shell asks with the word query=SHELL and its line in the environment. Folders of runs are
    complete; others end with a slash, so that what is inside can be completed next.
    """
    if not any(word.startswith("query=") for word in overrides):
        return None
    line = os.environ.get("COMP_LINE", "")
    point = os.environ.get("COMP_POINT", "")
    word = (line[: int(point)] if point.isdigit() else line).split(" ")[-1]
    key = next((key for key in KEYS if word.startswith(key)), None)
    return None if key is None else [f"{key}{name}" for name in _folders(word.removeprefix(key))]


def _folders(text: str) -> list[str]:
    """The folders whose names begin with `text`, as they are typed."""
    begun, slash, last = text.rpartition("/")
    try:
        inside = sorted(Path(begun + slash or ".").expanduser().iterdir())
        found = [path for path in inside if path.name.startswith(last) and path.is_dir()]
    except (OSError, ValueError, RuntimeError):  # no such folder
        return []
    shown = [path for path in found if last.startswith(".") or not path.name.startswith(".")]
    return [
        f"{begun}{slash}{path.name}{'' if (path / CONFIG_FILE).exists() else '/'}"
        for path in shown
        if not any(char.isspace() for char in path.name)  # the shell would split it
    ]
