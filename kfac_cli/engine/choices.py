"""Named choices, checked where they are used."""

from collections.abc import Collection, Mapping
from typing import TypeVar

Choice = TypeVar("Choice")


def check_choice(option: str, value: str, known: Collection[str]) -> None:
    """Raise ValueError, naming `option` and what is allowed, unless `value` is among `known`."""
    if value not in known:
        raise ValueError(f"{option}={value!r}: must be one of {', '.join(known)}")


def choose(option: str, value: str, known: Mapping[str, Choice]) -> Choice:
    """What `value` names in `known`. Raises ValueError as `check_choice` does."""
    check_choice(option, value, known)
    return known[value]
