"""What the schema's annotations say: the rule of every setting, and the sections inside."""

import types
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from kfac_cli.config.rules import Choice, Flag, OrNull, Rule


@dataclass(frozen=True)
class Section:
    """Settings inside a setting: one dataclass, under "", or several that `tag` chooses from."""

    tag: str | None
    variants: dict[str, type]


def members(kind: type) -> dict[str, Rule | Section]:
    """The settings of a dataclass of the schema, in its order."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: _member(hint) for name, hint in hints.items()}


def _member(hint: Any) -> Rule | Section:
    if get_origin(hint) is Annotated:
        rule: Rule = hint.__metadata__[0]
        return OrNull(rule) if type(None) in get_args(hint.__origin__) else rule
    if get_origin(hint) is Literal:
        return Choice(get_args(hint))
    if hint is bool:
        return Flag()
    if isinstance(hint, type) and is_dataclass(hint):
        return Section(None, {"": hint})
    if get_origin(hint) in (Union, types.UnionType):
        tags = [_tag(variant) for variant in get_args(hint)]
        variants = {word: kind for (_, word), kind in zip(tags, get_args(hint), strict=True)}
        return Section(tags[0][0], variants)
    raise TypeError(f"the schema has no meaning for {hint!r}")


def _tag(variant: type) -> tuple[str, str]:
    """The setting with only one possible word, which tells a variant from the others."""
    for name, hint in get_type_hints(variant).items():
        if get_origin(hint) is Literal and len(get_args(hint)) == 1:
            return name, get_args(hint)[0]
    raise TypeError(f"{variant.__name__} has no setting that tells it from the others")
