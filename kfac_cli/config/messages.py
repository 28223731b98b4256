"""Hydra's and OmegaConf's errors, which take several lines, said in one line about one setting."""

import re
from collections.abc import Sequence
from importlib.resources import files

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException

from kfac_cli.config.names import suggestion
from kfac_cli.config.rules import listed, shown

CONFIG_MODULE = "kfac_cli.conf"
GROUPS = ("dataset", "optimizer", "schedule", "experiment")


def explain(error: Exception, overrides: Sequence[str]) -> str:
    """One line for an error that composing `overrides` raised, naming setting and way out."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OverrideParseException):
        return _not_parsed(error, overrides)
    text = str(error)
    if "Config group override must be" in text:
        return _not_a_choice(overrides)
    if found := re.match(r"Could not override '(.*?)'\.", text):
        return _unknown(_key_in_struct(error) or found[1], _as_typed(found[1], overrides))
    if found := re.match(r"Could not delete from config\. '(.*?)' does not exist", text):
        return f"~{found[1]}: no such setting{suggestion('', found[1])}"
    if found := re.search(r"Could not find '(.*?)/?([^/']*)'", text):
        return _no_such_choice(found[1], found[2])
    if found := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.*?)'", text):
        return (
            f"{found[1]}: several values, one run each, need -m (kfac-run -m ...); "
            "a list is written in brackets: [A,B]"
        )
    if found := re.match(r"Multiple values for (\w+)\.", text):
        return f"{found[1]}: chosen twice; write {found[1]}=CHOICE without a +"
    return _one_line(error)


def choices(group: str) -> list[str]:
    """The names that `group=` accepts, as shipped in conf/; empty if there is no such group."""
    folder = files(CONFIG_MODULE).joinpath(group)
    if not folder.is_dir():
        return []
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, HydraException) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _as_typed(key: str, overrides: Sequence[str]) -> str:
    """The override that set `key`, cut to one readable line; the key alone if there is none."""
    typed = [item for item in overrides if item.lstrip("+").partition("=")[0] == key]
    return shown(typed[-1]) if typed else key


def _key_in_struct(error: Exception) -> str | None:
    """The full name of the key that OmegaConf found missing, e.g. of one inside a dictionary."""
    return getattr(error.__cause__, "full_key", None) or None


def _unknown(key: str, typed: str) -> str:
    if key.split("/")[0].split("@")[0] in GROUPS and ("/" in key or "@" in key):
        return f"{typed}: no such group of settings; the groups are {', '.join(GROUPS)}"
    return f"{typed}: no such setting{suggestion('', key)}"


def _no_such_choice(group: str, choice: str) -> str:
    known = choices(group)
    if known:
        return f"{group}={shown(choice)}: must be {listed(known)}"
    return f"{group}={shown(choice)}: no such configuration"


def _not_a_choice(overrides: Sequence[str]) -> str:
    """Find the group that was given something other than a name, such as a number or null."""
    parser = OverridesParser.create()
    for parsed in parser.parse_overrides(list(overrides)):
        if parsed.key_or_group in GROUPS and not isinstance(parsed.value(), str | list):
            known = listed(choices(parsed.key_or_group))
            return f"{shown(parsed.input_line)}: must be {known}"
    return "a group must be given the name of one of its choices"


def _not_parsed(error: Exception, overrides: Sequence[str]) -> str:
    """Name the override that Hydra's grammar refuses; its own message often leaves it out."""
    parser = OverridesParser.create()
    for item in overrides:
        try:
            parser.parse_overrides([item])
        except HydraException as problem:
            reason = str(problem.__cause__ or "").partition("\n")[0].split(" expecting ")[0]
            if "=" not in item:
                return f"{shown(item)}: must have the form SETTING=VALUE"
            return (
                f"{shown(item)}: cannot be read as SETTING=VALUE ({shown(reason)}); put a value "
                "with special characters in quotes inside quotes: 'SETTING=\"VALUE\"'"
            )
    return _one_line(error)
