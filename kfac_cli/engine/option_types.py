"""What the type of an option is made of: ranges, lengths, words for a message, and its meaning."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from annotated_types import GroupedMetadata, Interval, Len, Predicate
from pydantic import AllowInfNan, Strict


@dataclass(frozen=True)
class About:
    """What an option means: a sentence, the paper's symbol, and the section that introduces it."""

    meaning: str
    symbol: str = ""
    section: str = ""


@dataclass(frozen=True)
class Integer(GroupedMetadata):
    """An integer from `low` to `high`, both included."""

    low: int
    high: int

    def __iter__(self) -> Iterator[object]:
        yield from (Strict(), Interval(ge=self.low, le=self.high))

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


@dataclass(frozen=True)
class Number(GroupedMetadata):
    """A finite number between `low` and `high`; each end is included unless marked open."""

    low: float
    high: float
    low_open: bool = False
    high_open: bool = False

    def __iter__(self) -> Iterator[object]:
        yield from (Strict(), AllowInfNan(False))
        yield Interval(gt=self.low) if self.low_open else Interval(ge=self.low)
        yield Interval(lt=self.high) if self.high_open else Interval(le=self.high)

    @property
    def allowed(self) -> str:
        left = "(" if self.low_open else "["
        right = ")" if self.high_open else "]"
        return f"a number in {left}{self.low:g}, {self.high:g}{right}"


@dataclass(frozen=True)
class Items(GroupedMetadata):
    """Of a tuple: how many items there may be, and what the message calls them."""

    low: int
    high: int
    called: str = ""

    def __iter__(self) -> Iterator[object]:
        yield Len(self.low, self.high)


@dataclass(frozen=True)
class Allowed:
    """What is allowed, in words that complete "must be ...", where the type does not say it."""

    text: str


def _is_folder_name(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) is not None


def _is_path(text: str) -> bool:
    """Whether the system could have a file of that name; NUL and half a character rule it out."""
    try:
        return bool(text.strip()) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _is_device(text: str) -> bool:
    return re.fullmatch(r"auto|cpu|cuda(:(0|[1-9][0-9]{0,3}))?", text) is not None


Count = Annotated[int, Integer(1, 10**9)]
CountFromZero = Annotated[int, Integer(0, 10**9)]
Seed = Annotated[int, Integer(0, 2**63 - 1)]
Fraction = Annotated[float, Number(0, 1, low_open=True)]
BelowOne = Annotated[float, Number(0, 1, high_open=True)]
Boolean = Annotated[bool, Strict()]
FolderName = Annotated[
    str, Strict(), Predicate(_is_folder_name), Allowed("1 to 64 letters, digits, - or _")
]
Device = Annotated[
    str,
    Strict(),
    Predicate(_is_device),
    Allowed("auto, cpu, cuda, or cuda:N for the GPU with the number N"),
]
FILE_PATH = Allowed("a path")
FilePath = Annotated[str, Strict(), Predicate(_is_path), FILE_PATH]
