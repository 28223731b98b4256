"""Paths on the command line, which a study keeps for commands in any folder."""

import re
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString

from kfac_cli.commands.quoting import quoted
from kfac_cli.config.completion import absolute_path, path_settings

PLAIN = re.compile(r"[A-Za-z0-9_./-]*")
"""A path that needs no quotes in Hydra's grammar."""


def with_absolute_paths(override: Override) -> str:
    """The word of an override, its relative paths made absolute, from the current folder.

    A word with a reference, such as ${oc.env:HOME}, stays: what it means is not known here.
    Raises UserError for the home folder of an unknown user.
    """
    word, name = str(override.input_line), override.key_or_group
    if name not in set(path_settings()) or "${" in word:
        return word
    value = override.value()
    items = value.list if isinstance(value, ChoiceSweep) else [value]
    paths = [item.text if isinstance(item, QuotedString) else item for item in items]
    if not any(map(_is_relative, paths)):
        return word
    texts = ["null" if path is None else _text(name, path) for path in paths]
    return f"{word.partition('=')[0]}={','.join(texts)}"


def _is_relative(path: Any) -> bool:
    return isinstance(path, str) and bool(path.strip()) and not Path(path).is_absolute()


def _text(name: str, path: Any) -> str:
    text = absolute_path(name, path) if _is_relative(path) else str(path)
    return text if PLAIN.fullmatch(text) else quoted(text)
