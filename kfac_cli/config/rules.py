"""What a single setting may be: small rules that read a value or refuse it in one line."""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeGuard

from kfac_cli.errors import UserError, listed, refuse


class Rule(Protocol):
    """Reads the raw value of a setting; a value that is not allowed raises UserError."""

    @property
    def allowed(self) -> str:
        """What is allowed, worded so that it completes "must be ..."."""

    def read(self, name: str, value: object) -> object:
        """Return the value in its final type; `name` is the dotted setting for the message."""


@dataclass(frozen=True)
class Whole:
    """A whole number from `low` to `high`, both included."""

    low: int
    high: int

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def read(self, name: str, value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int):
            raise refuse(name, value, f"must be {self.allowed}")
        if not self.low <= value <= self.high:
            raise refuse(name, value, f"must be {self.allowed}")
        return value


@dataclass(frozen=True)
class Number:
    """A finite number between `low` and `high`; each end is included unless marked open."""

    low: float
    high: float
    low_open: bool = False
    high_open: bool = False

    @property
    def allowed(self) -> str:
        left = "(" if self.low_open else "["
        right = ")" if self.high_open else "]"
        return f"a number in {left}{self.low:g}, {self.high:g}{right}"

    def read(self, name: str, value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise refuse(name, value, f"must be {self.allowed}")
        # Compared before the conversion: a huge integer has no float to convert to.
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        if not (above and below) or math.isnan(value):
            raise refuse(name, value, f"must be {self.allowed}")
        return float(value)


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    options: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return listed(self.options)

    def read(self, name: str, value: object) -> object:
        if not isinstance(value, str) or value not in self.options:
            raise refuse(name, value, f"must be {self.allowed}")
        return value


@dataclass(frozen=True)
class Flag:
    """True or false."""

    @property
    def allowed(self) -> str:
        return "true or false"

    def read(self, name: str, value: object) -> object:
        if not isinstance(value, bool):
            raise refuse(name, value, f"must be {self.allowed}")
        return value


@dataclass(frozen=True)
class Label:
    """A short name that can stand in a folder's name without leading anywhere else."""

    @property
    def allowed(self) -> str:
        return "1 to 64 letters, digits, - or _"

    def read(self, name: str, value: object) -> object:
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
            raise refuse(name, value, f"must be {self.allowed}")
        return value


@dataclass(frozen=True)
class PathText:
    """The path of a file or folder; whether it exists is for its reader to find out."""

    @property
    def allowed(self) -> str:
        return "a path"

    def read(self, name: str, value: object) -> object:
        if not isinstance(value, str) or not value.strip() or not _can_name_a_file(value):
            raise refuse(name, value, f"must be {self.allowed}")
        return value


def _can_name_a_file(text: str) -> bool:
    """Whether the system could have a file of that name; NUL and half a character rule it out."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


@dataclass(frozen=True)
class OrNull:
    """Another rule's value, or null."""

    rule: Rule

    @property
    def allowed(self) -> str:
        return f"null or {self.rule.allowed}"

    def read(self, name: str, value: object) -> object:
        if value is None:
            return None
        try:
            return self.rule.read(name, value)
        except UserError as error:
            if not str(error).startswith(f"{name}="):  # an item inside, which may not be null
                raise
            raise refuse(name, value, f"must be {self.allowed}") from None


@dataclass(frozen=True)
class OrWord:
    """Another rule's value, or one word that stands for it."""

    word: str
    rule: Rule

    @property
    def allowed(self) -> str:
        return f"{self.word} or {self.rule.allowed}"

    def read(self, name: str, value: object) -> object:
        if isinstance(value, str) and value == self.word:
            return value
        try:
            return self.rule.read(name, value)
        except UserError:
            raise refuse(name, value, f"must be {self.allowed}") from None


@dataclass(frozen=True)
class ListOf:
    """A list whose every item obeys one rule; read as a tuple."""

    rule: Rule
    shortest: int
    longest: int

    @property
    def allowed(self) -> str:
        return f"a list of {self.shortest} to {self.longest} items, each {self.rule.allowed}"

    def read(self, name: str, value: object) -> object:
        if not _is_list(value) or not self.shortest <= len(value) <= self.longest:
            raise refuse(name, value, f"must be {self.allowed}")
        return tuple(self.rule.read(f"{name}[{i}]", item) for i, item in enumerate(value))


@dataclass(frozen=True)
class Steps:
    """A table of pairs [iteration, value] from iteration 1 on; read as a tuple of pairs."""

    value: Whole
    last: int
    longest: int

    @property
    def allowed(self) -> str:
        return f"a list of 1 to {self.longest} pairs [iteration,value]"

    def read(self, name: str, value: object) -> object:
        if not _is_list(value) or not 1 <= len(value) <= self.longest:
            raise refuse(name, value, f"must be {self.allowed}")
        steps: list[tuple[int, object]] = []
        for index, pair in enumerate(value):
            place = f"{name}[{index}]"
            if not _is_list(pair) or len(pair) != 2:
                raise refuse(place, pair, "must be a pair [iteration,value]")
            iteration = Whole(0, self.last).read(f"{place}[0]", pair[0])
            assert isinstance(iteration, int)
            if index == 0 and iteration != 1:
                raise refuse(f"{place}[0]", iteration, "must be 1: the table begins with the run")
            if steps and iteration <= steps[-1][0]:
                raise refuse(
                    f"{place}[0]", iteration, f"must be later than {steps[-1][0]}, the one before"
                )
            steps.append((iteration, self.value.read(f"{place}[1]", pair[1])))
        return tuple(steps)


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str)
