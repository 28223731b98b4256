"""Paths as values in Hydra's grammar, in which commas, equals signs and braces have a meaning."""

import re
from collections.abc import Sequence
from pathlib import Path

START_FROM = "start_from"


def quoted(path: str | Path) -> str:
    """A path as a value in Hydra's grammar, whatever its characters."""
    # A backslash counts only before a quote, for Hydra, and before a reference, for OmegaConf.
    text = re.sub(r"(\\*)\$\{", lambda found: f"{found[1] * 2}\\${{", str(path))
    text = re.sub(r"(\\*)'", lambda found: f"{found[1] * 2}\\'", text)
    text += "\\" * (len(text) - len(text.rstrip("\\")))
    return f"'{text}'"


def with_quoted_paths(words: Sequence[str]) -> list[str]:
    """The words of a command line, in which start_from= may name the folder of a sweep's job.

    `start_from=sweep/3_seed=1,optimizer=adam` is one folder where there is one of that name.
    """
    return [_with_quoted_path(word) for word in words]


def _with_quoted_path(word: str) -> str:
    key, _, text = word.partition("=")
    if key.lstrip("+") != START_FROM or re.fullmatch(r"[\w./~-]*", text):
        return word
    paths = _existing(text.split(","))
    return f"{key}={','.join(map(quoted, paths))}" if paths else word


def _existing(parts: Sequence[str]) -> list[str] | None:
    """Existing paths, the longest first, that `parts` are with commas between; None if not all."""
    if not parts:
        return []
    for end in range(len(parts), 0, -1):
        path = ",".join(parts[:end])
        if _exists(path) and (rest := _existing(parts[end:])) is not None:
            return [path, *rest]
    return None


def _exists(text: str) -> bool:
    try:
        return bool(text) and Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # not a possible path
        return False
