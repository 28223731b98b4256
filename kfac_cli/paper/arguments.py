"""The command line of kfac-paper."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kfac_cli.errors import UserError, listed, shown
from kfac_cli.files import typed_path
from kfac_cli.paper.registry import Entry, find
from kfac_cli.paper.study import Scale

HELP = "kfac-paper --help shows how it is used"
DEFAULT_FOLDER = "outputs/paper"


@dataclass(frozen=True)
class Arguments:
    """What the command line asks for: a study, its scale, folder, options and settings."""

    name: str
    entry: Entry
    scale: Scale
    folder: Path
    options: dict[str, str]
    settings: tuple[str, ...]


def parse(words: Sequence[str]) -> Arguments:
    """Read the command line. Raises UserError for a mistake."""
    names = [word for word in words if "=" not in word]
    for word in words:
        if word.startswith("-"):
            raise UserError(f"{shown(word)}: no such option; {HELP}")
    if not names:
        raise UserError(f"no study given; {HELP}")
    if len(names) > 1:
        raise UserError(f"{shown(names[1])}: one study at a time, and settings as NAME=VALUE")
    entry = find(names[0])
    options: dict[str, str] = {}
    settings = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            continue
        if name in ("scale", "output", *entry.options):
            options[name] = value
        else:
            settings.append(word)
    scale = _scale(options.pop("scale", Scale.SMALL.value))
    output = options.pop("output", f"{DEFAULT_FOLDER}/{names[0]}-{scale.value}")
    options = {**entry.defaults.get(scale, {}), **options}
    return Arguments(names[0], entry, scale, _folder(output), options, tuple(settings))


def _scale(text: str) -> Scale:
    try:
        return Scale(text)
    except ValueError:
        known = listed([scale.value for scale in Scale])
        raise UserError(f"scale={shown(text)}: must be {known}") from None


def _folder(text: str) -> Path:
    if not text:
        raise UserError("output=: must name a folder")
    try:
        return typed_path(text)
    except RuntimeError as error:
        raise UserError(f"output={shown(text)}: {error}; give a path") from error
