"""From the composed configuration to a RunConfig, or to one line that says what is wrong."""

from collections.abc import Mapping
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kfac_cli.config.contradictions import check_together
from kfac_cli.config.names import suggestion
from kfac_cli.config.rules import Rule
from kfac_cli.config.schema import RunConfig
from kfac_cli.config.structure import Section, members
from kfac_cli.errors import UserError, listed, refuse

MISSING = "???"


def validate(settings: DictConfig) -> RunConfig:
    """Check every setting and return them typed; UserError names the first that is wrong."""
    try:
        raw = OmegaConf.to_container(settings, resolve=True)
    except OmegaConfBaseException as error:
        name = error.full_key or "a setting"
        reason = " ".join(str(error).partition("full_key:")[0].split())
        raise UserError(f"{name}: {reason}") from error
    config = cast(RunConfig, _read_section(RunConfig, raw, ""))
    check_together(config)
    return config


def _read_section(kind: type, raw: object, prefix: str) -> Any:
    """Read one section's mapping into its dataclass; `prefix` is "" or ends in a dot."""
    if not isinstance(raw, Mapping):
        raise refuse(prefix.rstrip("."), raw, "must be a group of settings")
    known = members(kind)
    for key in raw:
        if key not in known:
            raise refuse(f"{prefix}{key}", raw[key], f"no such setting{suggestion(prefix, key)}")
    for key in known:
        if key not in raw or raw[key] == MISSING:
            raise UserError(f"{prefix}{key}: has no value; give one as {prefix}{key}=VALUE")
    return kind(**{key: _read(member, f"{prefix}{key}", raw[key]) for key, member in known.items()})


def _read(member: Rule | Section, name: str, raw: object) -> object:
    if not isinstance(member, Section):
        return member.read(name, raw)
    if member.tag is None:
        return _read_section(member.variants[""], raw, f"{name}.")
    if not isinstance(raw, Mapping):
        raise refuse(name, raw, "must be a group of settings")
    chosen = raw.get(member.tag)
    if not isinstance(chosen, str) or chosen not in member.variants:
        raise refuse(f"{name}.{member.tag}", chosen, f"must be {listed(sorted(member.variants))}")
    return _read_section(member.variants[chosen], raw, f"{name}.")
