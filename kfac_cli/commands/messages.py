"""Hydra's and OmegaConf's multi-line errors as one line about one setting."""

import errno
import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from kfac_cli.config.choices import choices
from kfac_cli.config.compose import composed
from kfac_cli.config.names import GROUPS, setting_names, suggestion, takes_names
from kfac_cli.errors import listed, shown

LAUNCHERS = "hydra/launcher"
EXTRAS = {"joblib": "parallel", "submitit_local": "slurm", "submitit_slurm": "slurm"}
"""The launchers of packages that are installed on request, and the extra that has each."""


def explain(error: Exception, overrides: Sequence[str]) -> str:
    """One line for an error from composing `overrides`, naming the setting and the way out."""
    if isinstance(error, OSError) and error.filename is not None:
        # Hydra looks for files named after the user's choices, one of which is too long.
        too_long = error.errno == errno.ENAMETOOLONG and overrides
        return f"{shown(max(overrides, key=len)) if too_long else error.filename}: {error.strerror}"
    text = str(error)
    if isinstance(error.__cause__, OSError):  # such as a log that could not be opened
        return explain(error.__cause__, overrides)
    if "Config group override must be" in text:
        return _not_a_choice(overrides)
    if found := re.match(r"Could not override '(.*?)'\.", text):
        return _unknown(_key_in_struct(error) or found[1], found[1], overrides)
    if found := re.match(r"Could not delete from config\. '(.*?)' does not exist", text):
        return f"~{found[1]}: no such setting{suggestion(found[1], _optimizer(overrides))}"
    if found := re.search(r"find '(.*?)'.*?Available options in '(.*?)':(.*)", text, re.S):
        return _no_such_choice(found[1], found[2], found[3])
    if found := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.*?)'", text):
        return (
            f"{shown(found[1])}: several values, one run each, need -m (kfac-run -m ...); "
            "a list is written in brackets: [A,B]"
        )
    inside = isinstance(error.__cause__ or error, IndexError | ValueError)
    if inside and (refused := _no_such_part(overrides)):
        return refused
    if found := re.match(r"Error merging override (.*)", text, re.S):
        return _cannot_be_set(found[1], error.__cause__)
    if found := re.match(r"Multiple values for (\w+)\.", text):
        return f"{found[1]}: chosen twice; write {found[1]}=CHOICE without a +"
    return unreadable(overrides) or _one_line(error)


def unreadable(overrides: Sequence[str]) -> str | None:
    """One line about the override that Hydra's grammar rejects; None if it rejects none."""
    parser = OverridesParser.create()
    for item in overrides:
        try:
            parser.parse_overrides([item])
        except Exception:  # also Python's, for a number of 5000 digits or a deeply nested list
            if "=" not in item:
                return f"{shown(item)}: must have the form SETTING=VALUE"
            return (
                f"{shown(item)}: cannot be read; brackets and quotes must close, and a value with "
                "special characters goes in quotes inside quotes: 'SETTING=\"VALUE\"'"
            )
    return None


def _one_line(error: Exception) -> str:
    text = str(error)
    if isinstance(error, OmegaConfBaseException):
        text = text.partition("full_key:")[0]
    text = " ".join(text.split())
    if isinstance(error, HydraException | OmegaConfBaseException | ValueError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _as_typed(key: str, overrides: Sequence[str]) -> str:
    """The override that set `key`, shortened to one line; the key if there is none."""
    typed = [item.lstrip("+") for item in overrides]
    typed = [item for item in typed if item.partition("=")[0] == key]
    return shown(typed[-1]) if typed else key


def _key_in_struct(error: Exception) -> str | None:
    """The full name of the key that OmegaConf found missing."""
    return getattr(error.__cause__, "full_key", None) or None


def _unknown(key: str, overridden: str, overrides: Sequence[str]) -> str:
    typed = _as_typed(overridden, overrides)
    if key.split("/")[0].split("@")[0] in GROUPS and ("/" in key or "@" in key):
        return f"{typed}: no such group of settings; the groups are {', '.join(GROUPS)}"
    named = typed if typed.startswith(key) else key
    if takes_names(key.rpartition(".")[0]):
        return f"{named}: is not there yet; add it with a plus: '+{named}'"
    return f"{named}: no such setting{suggestion(key, _optimizer(overrides))}"


def _optimizer(overrides: Sequence[str]) -> DictConfig | None:
    """The settings of the optimizer that is chosen on the command line; None if it cannot be."""
    words = [word for word in overrides if word.lstrip("+").partition("=")[0] in GROUPS]
    try:
        return composed(words).optimizer  # type: ignore[no-any-return]
    except Exception:  # such as several choices, one run each
        return None


def _no_such_choice(missing: str, group: str, options: str) -> str:
    """`missing` is group/choice; `options` starts with Hydra's list, one choice per line."""
    known = [line.strip() for line in options.partition("Config search path")[0].splitlines()]
    choice = shown(missing.removeprefix(f"{group}/"))
    if group == LAUNCHERS and choice in EXTRAS:
        extra = EXTRAS[choice]
        where = "in the folder of kfac-run's source"
        return f"{group}={choice}: is not installed: pip install '.[{extra}]' {where}"
    return f"{group}={choice}: must be {listed([name for name in known if name])}"


def _no_such_part(overrides: Sequence[str]) -> str | None:
    """Find an override of a part of a setting, such as an item that a list does not have."""
    for item in overrides:
        key = item.partition("=")[0].lstrip("+~")
        for name in setting_names():
            if key.startswith(f"{name}."):
                return f"{shown(item)}: no such part; set it as a whole, {name}=VALUE"
    return None


def _cannot_be_set(override: str, cause: BaseException | None) -> str:
    """A list was given for a group of settings, or the reverse, or a setting of Hydra's."""
    reason = str(cause).partition("\n")[0]
    if "Cannot merge" in reason:
        braces = override.partition("=")[2].lstrip().startswith("{")
        reason = f"must be {'a list in brackets, [A,B]' if braces else 'a group of settings'}"
    return f"{shown(override)}: {reason}"


def _not_a_choice(overrides: Sequence[str]) -> str:
    """Find the group whose value is not a name, but for example a number or null."""
    parser = OverridesParser.create()
    for parsed in parser.parse_overrides(list(overrides)):
        if parsed.key_or_group in GROUPS and not isinstance(parsed.value(), str | list):
            known = listed(choices(parsed.key_or_group))
            return f"{shown(parsed.input_line)}: must be {known}"
    return "a group must be given the name of one of its choices"
