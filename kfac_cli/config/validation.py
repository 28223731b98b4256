"""From the composed configuration to a RunConfig, or to one line that says what is wrong."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from kfac_cli.config.names import suggestion
from kfac_cli.config.presets import check_preset
from kfac_cli.config.schema import SHARED, RunConfig
from kfac_cli.engine.declaration import declared_fields, refusal
from kfac_cli.engine.registry import OPTIMIZERS
from kfac_cli.errors import UserError, shown

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MISSING = "???"
UNKNOWN = ("unexpected_keyword_argument", "invalid_key")
NOT_TEXT = ("int_type", "float_type", "bool_type", "tuple_type", "none_required")


def validate(settings: DictConfig) -> RunConfig:
    """Check every setting and return them typed; UserError names the first that is wrong."""
    try:
        check_preset(settings)
        raw = OmegaConf.to_container(settings, resolve=True)
    except OmegaConfBaseException as error:
        if "preset" not in settings:
            raise UserError("preset: has no value; give one as preset=VALUE") from None
        name = error.full_key or "a setting"
        reason = " ".join(str(error).partition("full_key:")[0].split())
        raise UserError(f"{name}: {reason}") from error
    tree = _with_shared(_with_preset_name(_without_missing(raw, depth=2)))
    try:
        return TypeAdapter(RunConfig).validate_python(tree)
    except ValidationError as error:
        errors = error.errors()
        first = _first(errors)
        raise UserError(_line(first, tree) + _advice(first, errors, settings)) from None


def _without_missing(tree: Any, depth: int) -> Any:
    """The settings, of the run and of its sections, without those that are still to be given."""
    if not isinstance(tree, Mapping) or depth == 0:
        return tree
    given = {key: value for key, value in tree.items() if value != MISSING}
    return {key: _without_missing(value, depth - 1) for key, value in given.items()}


def _with_preset_name(tree: dict[str, Any]) -> dict[str, Any]:
    """The settings with the preset's name only: its values are in the settings that took them."""
    preset = tree.get("preset")
    if not isinstance(preset, Mapping):
        return tree
    return {**tree, "preset": {name: preset[name] for name in preset if name == "name"}}


class MissingOptionError(UserError):
    """An option of the optimizer is not there; `option` is its name."""

    def __init__(self, option: str) -> None:
        super().__init__(f"{option}: has no value; give one as {option}=VALUE")
        self.option = option


def _with_shared(tree: dict[str, Any]) -> dict[str, Any]:
    """The settings, those for the optimizer completed by the ones that stand beside them."""
    section = tree.get("optimizer")
    if not isinstance(section, Mapping):
        return tree
    for name in SHARED:
        if name in section:
            raise UserError(_unknown(f"optimizer.{name}", section[name], section))
    kind = OPTIMIZERS.get(str(section.get("kind")))
    for name in () if kind is None else declared_fields(kind.options):
        if name not in section and name not in SHARED:  # the engine has a default, conf/ the choice
            raise MissingOptionError(f"optimizer.{name}")
    return {**tree, "optimizer": {**section, **{n: tree[n] for n in SHARED if n in tree}}}


def _first(errors: list["ErrorDetails"]) -> "ErrorDetails":
    """The error to report: names that do not exist explain others, and come before."""
    own = [e for e in errors if not _is_shared(e["loc"])]
    return min(own, key=lambda e: e["type"] not in UNKNOWN)


def _is_shared(place: tuple[int | str, ...]) -> bool:
    """Whether this is an option of the optimizer that is a setting of the run, or a part of one."""
    return place[:1] == ("optimizer",) and len(place) > 2 and place[2] in SHARED


def _line(error: "ErrorDetails", tree: Mapping[str, Any]) -> str:
    line = refusal(error, RunConfig)
    if error["type"] not in UNKNOWN:
        return line
    return _unknown(line.partition("=")[0], error["input"], tree.get("optimizer"))


def _advice(error: "ErrorDetails", errors: list["ErrorDetails"], settings: DictConfig) -> str:
    """What to add where text was given for a setting that is not, or not only, text."""
    text = error["input"]
    if not any(e["type"] in NOT_TEXT and e["input"] is text for e in errors):
        return ""
    raw: Any = OmegaConf.to_container(settings, resolve=False)
    for part in re.findall(r"[^.\[\]]+", refusal(error, RunConfig).partition("=")[0]):
        if isinstance(raw, str):  # an interpolation stands for a whole list or section
            return ""
        raw = raw[int(part) if isinstance(raw, list) else part]
    return advice_on_text(text, str(raw))


def advice_on_text(value: object, written: str = "") -> str:
    """What to add to a refusal of text that reads as a number, true, false, null or a list.

    Environment variables are text, and so is what stands in quotes. `written` is the setting before
    interpolation.
    """
    if not isinstance(value, str) or isinstance(_decoded(value), str):
        return ""
    found = f'; "{shown(value)}" is text here: write'
    if "${" in written:
        return f'{found} "${{oc.decode:{written}}}", with its quotes, instead of {written}'
    return f'{found} it without quotes, or "${{oc.decode:${{oc.env:NAME}}}}" for the variable NAME'


def _decoded(text: str) -> Any:
    """What OmegaConf's oc.decode makes of a text."""
    try:
        return OmegaConf.create({"text": text, "value": "${oc.decode:${text}}"}).value
    except OmegaConfBaseException:
        return text


def _unknown(name: str, value: object, optimizer: object) -> str:
    known = optimizer if isinstance(optimizer, Mapping) else None
    return f"{name}={shown(value)}: no such setting{suggestion(name, known)}"
