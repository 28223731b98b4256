"""Every number among the settings has two ends, and nothing beyond them passes."""

import math
from typing import Annotated, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from kfac_cli.config.schema import RunConfig
from kfac_cli.engine.declaration import declared_fields, sections
from kfac_cli.engine.option_types import Integer, Number


def numbers_in(hint):
    """The range of a number in a declared type, or of the numbers in its lists."""
    if isinstance(hint, Integer | Number):
        yield hint
    for part in (*get_args(hint), *getattr(hint, "__metadata__", ())):
        yield from numbers_in(part)


def numbers_of(kind=RunConfig, prefix=""):
    """Every numeric setting with its range and the class that declares it."""
    for name, hint in declared_fields(kind).items():
        for section in sections(hint):
            yield from numbers_of(section, f"{prefix}{name}.")
        if not sections(hint):
            yield from ((f"{prefix}{name}", hint, mark) for mark in numbers_in(hint))


@pytest.mark.parametrize(
    ("name", "hint", "mark"), [pytest.param(*each, id=each[0]) for each in numbers_of()]
)
def test_every_number_has_two_ends_and_nothing_beyond_them_passes(name, hint, mark):
    kind = int if isinstance(mark, Integer) else float
    read = TypeAdapter(Annotated[kind, mark]).validate_python
    below = mark.low - 1 if kind is int else math.nextafter(mark.low, -math.inf)
    above = mark.high + 1 if kind is int else math.nextafter(mark.high, math.inf)
    wrong = [below, above, -math.inf, math.inf, math.nan, True, "1", "", None, [], {}, 10**400]
    wrong += [mark.low] if getattr(mark, "low_open", False) else []
    wrong += [mark.high] if getattr(mark, "high_open", False) else []
    for value in wrong:
        with pytest.raises(ValidationError):
            read(value)
    middle = read((mark.low + mark.high) // 2 or mark.high / 2)
    assert mark.low <= middle <= mark.high
    assert type(middle) is kind
