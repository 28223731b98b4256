"""How options are declared: a type with its range, what it means, one line for any other value.

An option is a field `name: Annotated[TYPE, About(...)] = default` of a class marked `@options`;
TYPE is made of those in `option_types.py`, `Literal`, tuples and `| None`. Everything that reads
options reads these fields: the checks, the names that are suggested for a misspelt one, and
docs/settings.md.
"""

import functools
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass as validated_dataclass

from kfac_cli.engine.option_types import Allowed, Integer, Items, Number
from kfac_cli.errors import listed, shown

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Declared = TypeVar("Declared", bound=type)


class OptionError(ValueError):
    """A value that conflicts with another option's: `name=value: reason`.

    The names of other options are written in braces in `reason`: where the options are a section of
    something larger, all names get its prefix.
    """

    def __init__(self, name: str, value: object, reason: str) -> None:
        super().__init__(name, value, reason)
        self.name, self.value, self.reason = name, value, reason

    def line(self, prefix: str = "") -> str:
        """The error as one line, with `prefix` before every option's name."""
        reason = re.sub(r"\{(\w+)\}", rf"{prefix}\1", self.reason)
        return f"{prefix}{self.name}={shown(self.value)}: {reason}"

    def __str__(self) -> str:
        return self.line()


@dataclass_transform(kw_only_default=True, frozen_default=True)
def options(declared: Declared) -> Declared:
    """Make a class of declared fields a frozen dataclass that checks itself.

    A value that is not allowed raises ValueError, in one line that names the option, the value and
    what is allowed. An integer serves as a float and a list as a tuple; nothing else is converted.
    `__post_init__` is for rules about several options; it raises OptionError. A subclass is marked
    `@options` too.
    """
    dataclass_of = validated_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
    made: Any = dataclass_of(declared)
    validate = made.__init__

    @functools.wraps(validate)
    def check(self: object, *arguments: object, **values: object) -> None:
        if arguments:
            raise TypeError(f"options are given by name: {made.__name__}(NAME=VALUE, ...)")
        try:
            validate(self, **values)
        except ValidationError as error:
            raise ValueError(refusal(error.errors()[0], made)) from None

    made.__init__ = check
    return made  # type: ignore[no-any-return]


def refusal(error: "ErrorDetails", kind: type) -> str:
    """One line for one of pydantic's errors about the options in a class."""
    place, value, context = error["loc"], error["input"], error.get("ctx", {})
    too_short = error["type"] == "missing" and isinstance(place[-1], int)  # a list of fixed length
    name, hint = _place(kind, place[:-1] if too_short else place)
    match error["type"]:
        case "missing" if not too_short:
            return f"{name}: has no value; give one as {name}=VALUE"
        case "unexpected_keyword_argument" | "invalid_key":
            return f"{name}={shown(value)}: no such option"
        case "union_tag_invalid" | "union_tag_not_found":
            tag = context["discriminator"].strip("'")
            known = listed(sorted(word for word, _ in variants(hint)))
            return f"{name}.{tag}={shown(value.get(tag))}: must be {known}"
        case "value_error":
            reason: Exception = context["error"]
            prefix = f"{name}." if name else ""
            return reason.line(prefix) if isinstance(reason, OptionError) else str(reason)
        case _:
            return f"{name}={_given(value)}: must be {allowed(hint)}"


def _given(value: object) -> str:
    """The value, with its type where that may be why it is refused."""
    plain = value is None or isinstance(value, bool | int | float | str | Sequence | Mapping)
    return shown(value) if plain else f"{shown(value)} ({type(value).__name__})"


def allowed(hint: Any) -> str:
    """What a declared type allows, in words that complete "must be ..."."""
    base, marks = _unwrapped(hint)
    for mark in marks:
        if isinstance(mark, Integer | Number):
            return mark.allowed
        if isinstance(mark, Allowed):
            return mark.text
        if isinstance(mark, Items):
            called = mark.called or f"items, each {allowed(get_args(base)[0])}"
            return f"a list of {mark.low} to {mark.high} {called}"
    if get_origin(base) is Literal:
        return listed([str(word) for word in get_args(base)])
    if get_origin(base) is tuple:
        return f"a list of {len(get_args(base))} items, each {allowed(get_args(base)[0])}"
    if base is bool:
        return "true or false"
    parts = [part for part in _members(base) if part is not type(None)]
    if is_dataclass(parts[0]):
        return "a group of settings"
    if parts == [base]:
        return "another value"
    texts = [allowed(part) for part in parts]
    return " or ".join(["null", *texts] if len(parts) < len(_members(base)) else texts)


def declared_fields(kind: type) -> dict[str, Any]:
    """The options of a class, name to declared type, in their order."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}


def sections(hint: Any) -> list[type]:
    """The classes of options that a declared type stands for; empty if it is a plain value."""
    base, _ = _unwrapped(hint)
    return [part for part in _members(base) if is_dataclass(part) and isinstance(part, type)]


def is_mapping(hint: Any) -> bool:
    """Whether a declared type is a dict, whose names are the user's."""
    return get_origin(_unwrapped(hint)[0]) is dict


def is_number(hint: Any) -> bool:
    """Whether a declared type holds only numbers, or null."""
    parts = {_unwrapped(part)[0] for part in _members(_unwrapped(hint)[0])}
    return parts <= {int, float, type(None)}


def has_mark(hint: Any, mark: object) -> bool:
    """Whether a declared type, or one of those it is a union of, is marked with `mark`."""
    base, marks = _unwrapped(hint)
    members = _members(base)
    return mark in marks or (len(members) > 1 and any(has_mark(part, mark) for part in members))


def _unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type and the marks around it."""
    marks: tuple[Any, ...] = ()
    while get_origin(hint) is Annotated:
        hint, *inner = get_args(hint)
        marks = (*inner, *marks)
    return hint, marks


def _members(base: Any) -> tuple[Any, ...]:
    return get_args(base) if get_origin(base) in (Union, types.UnionType) else (base,)


def variants(hint: Any) -> Iterator[tuple[str, type]]:
    """The classes of a discriminated union, each with the word that chooses it."""
    for section in sections(hint):
        for declared in declared_fields(section).values():
            base, _ = _unwrapped(declared)
            if get_origin(base) is Literal and len(get_args(base)) == 1:
                yield get_args(base)[0], section
                break


def _place(kind: type, location: tuple[int | str, ...]) -> tuple[str, Any]:
    """The dotted name and the declared type of what pydantic's `location` leads to."""
    name, hint = "", kind
    for part in location:
        choices = sections(hint)
        if len(choices) > 1:  # the word that chooses from a union is no part of the name
            hint = dict(variants(hint))[str(part)]
        elif choices:
            name = f"{name}.{part}" if name else str(part)
            hint = declared_fields(choices[0]).get(str(part), Any)
        elif isinstance(part, int):
            name, hint = f"{name}[{part}]", _item(hint, part)
        else:  # a member of a union of plain values
            break
    return name, hint


def _item(hint: Any, index: int) -> Any:
    """The declared type of an item of a tuple, or of one that may be null."""
    for member in _members(_unwrapped(hint)[0]):
        base, _ = _unwrapped(member)
        if get_origin(base) is tuple:
            items = get_args(base)
            return items[0] if items[-1] is ... else items[index]
    return Any
