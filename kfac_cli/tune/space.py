"""From the words of a command line to what is searched and what is set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from kfac_cli.commands.messages import unreadable
from kfac_cli.config.choices import CONFIG_MODULE, choices
from kfac_cli.config.completion import absolute_path
from kfac_cli.errors import UserError, listed, shown
from kfac_cli.tune.dimension import Dimension, dimension
from kfac_cli.tune.paths import with_absolute_paths
from kfac_cli.tune.share import with_shares

SEARCH_GROUP = "search"


@dataclass(frozen=True)
class Space:
    """The settings of a study's runs: those that are the same for all, and those searched."""

    fixed: tuple[str, ...]
    dimensions: tuple[Dimension, ...]

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """The arguments of kfac-run for a trial with these values of the searched settings."""
        return [*self.fixed, *(d.override(values[d.name]) for d in self.dimensions)]

    @property
    def words(self) -> list[str]:
        """The words that `read_space` reads as this space."""
        return [*self.fixed, *(d.word for d in self.dimensions)]


def read_space(words: Sequence[str], ready_made: str | None = None) -> Space:
    """The space that words describe, over a ready-made one if it is named.

    What is typed wins over the ready-made space, a range or a value, and the last word over earlier
    ones. Ready-made shares of the iterations become numbers (`with_shares`), relative paths
    absolute. Raises UserError for a word that cannot be read or is not for a search.
    """
    before = [] if ready_made is None else read_ready_made(ready_made)
    overrides = {
        parsed.get_key_element(): parsed for parsed in map(_resolved_word, [*before, *words])
    }
    named = {key.lstrip("+~"): key for key in overrides}  # the last of `key` and `+key`
    kept = [overrides[key] for key in overrides if named[key.lstrip("+~")] == key]
    fixed = [str(parsed.input_line) for parsed in kept if not parsed.is_sweep_override()]
    searched = [dimension(parsed) for parsed in kept if parsed.is_sweep_override()]
    if before:
        fixed = with_shares(fixed, searched)
    return Space(tuple(fixed), tuple(searched))


def ready_made_names() -> list[str]:
    """The ready-made spaces, one for each optimizer."""
    return choices(SEARCH_GROUP)


def read_ready_made(name: str) -> list[str]:
    """The words of a ready-made space, or of one in a file.

    Raises UserError if there is none of that name, or if the file does not map settings to ranges.
    """
    is_file = Path(name).suffix in (".yaml", ".yml")
    if not is_file and name not in ready_made_names():
        known = listed([*ready_made_names(), "a file, FILE.yaml"])
        raise UserError(f"search={shown(name)}: must be {known}")
    try:
        shipped = files(CONFIG_MODULE).joinpath(SEARCH_GROUP, f"{name}.yaml")
        file = Path(absolute_path(SEARCH_GROUP, name)) if is_file else shipped
        text = file.read_text(encoding="utf-8")
        mapping = yaml.load(text, yaml.BaseLoader)  # texts only
    except OSError as error:
        raise UserError(f"search={shown(name)}: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"search={shown(name)}: cannot be read: {shown(reason)}") from error
    if not isinstance(mapping, dict) or not all(isinstance(v, str) for v in mapping.values()):
        raise UserError(f"search={shown(name)}: must have lines SETTING: RANGE")
    return [f"{key}={value}" for key, value in mapping.items()]


def _resolved_word(word: str) -> Override:
    """A word with absolute paths, read."""
    return parsed_word(with_absolute_paths(parsed_word(word)))


def parsed_word(word: str) -> Override:
    """A word, read by Hydra's grammar; raises UserError if it cannot be, or is not for a search."""
    try:
        override = OverridesParser.create().parse_override(word)
    except Exception as error:
        raise UserError(unreadable([word]) or f"{shown(word)}: cannot be read") from error
    if override.is_hydra_override():
        raise UserError(f"{shown(word)}: Hydra's own settings are not for kfac-tune")
    if override.key_or_group == "resume":
        reason = "is for kfac-run; kfac-tune output=FOLDER continues a study"
        raise UserError(f"{shown(word)}: {reason}")
    return override
