"""Find the folders of runs."""

import re
from collections.abc import Iterable
from pathlib import Path

from kfac_cli.config.settings_file import CONFIG_FILE
from kfac_cli.errors import one_line
from kfac_cli.files import shown_folder
from kfac_cli.recording.summary import SUMMARY_FILE
from kfac_cli.recording.tables import METRICS_FILE

MARKS = (SUMMARY_FILE, METRICS_FILE, CONFIG_FILE)
"""A folder with one of these is that of a run."""

MAX_DEPTH = 8


def run_folders(paths: Iterable[str | Path]) -> tuple[list[Path], list[str]]:
    """The folders of runs in and below `paths`, each once, and a line for each path without any.

    There is also a line for each folder that cannot be read. Folders within that of a run, hidden
    ones and links are not searched. Folders whose names begin with a number, as those of a sweep's
    jobs, are in the order of the numbers.
    """
    found: dict[Path, None] = {}
    complaints = []
    for path in paths:
        try:
            root = Path(path).expanduser().resolve()
            if not root.is_dir():
                what = "is not a folder" if root.exists() else "no such folder"
                complaints.append(one_line(f"{path}: {what}"))
                continue
            unread: list[str] = []
            folders = _below(root, 0, unread)
        except (OSError, ValueError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            complaints.append(one_line(f"{path}: {reason}"))
            continue
        complaints += unread
        if not folders and not unread:
            complaints.append(one_line(f"{shown_folder(root)}: holds no run"))
        found.update(dict.fromkeys(folders))
    return list(found), complaints


def _below(folder: Path, depth: int, unread: list[str]) -> list[Path]:
    """The folders of runs in and below one; `unread` gets a line for each that cannot be read."""
    try:
        if any((folder / mark).exists() for mark in MARKS):
            return [folder]
        if depth == MAX_DEPTH:
            return []
        inside = [
            path
            for path in folder.iterdir()
            if not path.name.startswith(".") and path.is_dir() and not path.is_symlink()
        ]
    except OSError as error:
        unread.append(one_line(f"{shown_folder(folder)}: {error.strerror or error}"))
        return []
    return [
        found for path in sorted(inside, key=_order) for found in _below(path, depth + 1, unread)
    ]


def _order(path: Path) -> tuple[bool, int, str]:
    number = re.match(r"([0-9]{1,18})(?:_|$)", path.name)
    return number is None, int(number[1]) if number else 0, path.name
