"""Options that check themselves: what is accepted, and the one line that refuses the rest."""

import math
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from typing import Annotated, Literal

import numpy as np
import pytest
from pydantic import Field

from kfac_cli.engine import KFACOptions, NesterovOptions
from kfac_cli.engine.declaration import OptionError, allowed, options
from kfac_cli.engine.option_types import (
    Allowed,
    Boolean,
    Count,
    FilePath,
    FolderName,
    Integer,
    Items,
    Number,
)


@options
class Plain:
    count: Count = 1
    rate: Annotated[float, Number(0, 1, low_open=True)] = 0.5
    start: Literal["auto"] | Annotated[float, Number(0, 9)] = "auto"
    bound: Annotated[float, Number(0, 9)] | None = None
    flag: Boolean = True
    word: Literal["one", "two", "three"] = "one"
    name: FolderName = "a"
    path: FilePath | None = None
    sizes: Annotated[tuple[Count, ...], Items(1, 3)] = (1,)
    shape: tuple[Count, Count] | None = None
    steps: Annotated[
        tuple[Annotated[tuple[Count, Count], Allowed("a pair")], ...], Items(1, 2, "pairs")
    ] = ((1, 1),)

    def __post_init__(self):
        if self.count > 100:
            raise OptionError("count", self.count, f"must be at most 100 with {{rate}}={self.rate}")


@options
class Left:
    kind: Literal["left"]
    plain: Plain


@options
class Right:
    kind: Literal["right"]


@options
class Whole:
    side: Annotated[Left | Right, Field(discriminator="kind")]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"rate": 1}, 1.0),
        ({"start": 3}, 3.0),
        ({"bound": 0}, 0.0),
        ({"sizes": [1, 2]}, (1, 2)),
        ({"shape": [3, 4]}, (3, 4)),
        ({"steps": [[1, 2], (3, 4)]}, ((1, 2), (3, 4))),
    ],
    ids=str,
)
def test_an_integer_serves_as_a_float_and_a_list_as_a_tuple(given, read):
    [name] = given
    value = getattr(Plain(**given), name)
    assert value == read
    assert type(value) is type(read)


@pytest.mark.parametrize("name", ["count", "rate", "start", "bound"])
@pytest.mark.parametrize("value", [True, "1", math.nan, math.inf, b"1", [1], {}, 1j, object()])
def test_a_boolean_a_string_and_what_is_not_finite_never_serve_as_a_number(name, value):
    with pytest.raises(ValueError, match=f"^{name}=.*: must be "):
        Plain(**{name: value})


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"count": 0}, "count=0: must be a whole number from 1 to 1000000000"),
        ({"count": 1.0}, "count=1.0: must be a whole number from 1 to 1000000000"),
        ({"rate": 0}, "rate=0: must be a number in (0, 1]"),
        ({"rate": 10**400}, "rate=(a number of 1329 bits): must be a number in (0, 1]"),
        ({"start": "manual"}, "start=manual: must be auto or a number in [0, 9]"),
        ({"start": None}, "start=null: must be auto or a number in [0, 9]"),
        ({"bound": 10}, "bound=10: must be null or a number in [0, 9]"),
        ({"flag": 1}, "flag=1: must be true or false"),
        ({"word": "four"}, "word=four: must be one, two or three"),
        ({"name": "a/b"}, "name=a/b: must be 1 to 64 letters, digits, - or _"),
        ({"path": "a\0b"}, 'path="a\\u0000b": must be null or a path'),
        ({"sizes": []}, "sizes=[]: must be a list of 1 to 3 items, each a whole number from 1 to"),
        ({"sizes": [1, 0]}, "sizes[1]=0: must be a whole number from 1 to 1000000000"),
        ({"shape": [1]}, "shape=[1]: must be null or a list of 2 items, each a whole number from"),
        ({"shape": [1, True]}, "shape[1]=true: must be a whole number from 1 to 1000000000"),
        ({"steps": [1]}, "steps[0]=1: must be a pair"),
        ({"steps": [[1, 2, 3]]}, "steps[0]=[1,2,3]: must be a pair"),
        ({"steps": [[1]]}, "steps[0]=[1]: must be a pair"),
        ({"steps": [[1, 0]]}, "steps[0][1]=0: must be a whole number"),
        ({"steps": []}, "steps=[]: must be a list of 1 to 2 pairs"),
        ({"other": 1}, "other=1: no such option"),
        ({"count": 200}, "count=200: must be at most 100 with rate=0.5"),
    ],
    ids=lambda each: str(each)[:40],
)
def test_what_is_not_allowed_is_refused_in_one_line(given, line):
    with pytest.raises(ValueError) as caught:
        Plain(**given)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"kind": "up"}, "side.kind=up: must be left or right"),
        ({}, "side.kind=null: must be left or right"),
        (3, "side=3: must be a group of settings"),
        ({"kind": "left"}, "side.plain: has no value; give one as side.plain=VALUE"),
        ({"kind": "left", "plain": 3}, "side.plain=3: must be a group of settings"),
        (
            {"kind": "left", "plain": {"count": 200, "rate": 1}},
            "side.plain.count=200: must be at most 100 with side.plain.rate=1.0",
        ),
        ({"kind": "left", "plain": {"sizes": [0]}}, "side.plain.sizes[0]=0: must be a whole"),
    ],
    ids=str,
)
def test_a_section_inside_is_named_with_its_path(given, line):
    with pytest.raises(ValueError) as caught:
        Whole(side=given)
    assert str(caught.value).startswith(line)


def test_options_are_immutable_and_a_changed_copy_is_checked_too():
    with pytest.raises(FrozenInstanceError):
        KFACOptions().tau1 = 1
    assert replace(KFACOptions(), tau1=1).tau1 == 1
    with pytest.raises(ValueError, match=r"^tau1=2: must be a number in \(0, 1\]$"):
        replace(KFACOptions(), tau1=2)


def test_options_are_given_by_name():
    with pytest.raises(TypeError, match=r"^options are given by name: KFACOptions\(NAME=VALUE"):
        KFACOptions("block_diagonal")


def test_a_number_of_another_library_is_refused_with_its_type():
    with pytest.raises(ValueError, match=r"^t1=5 \(int64\): must be a whole number from 1"):
        KFACOptions(t1=np.int64(5))
    with pytest.raises(ValueError, match=r"^momentum=True \(bool\w*\): must be true or false"):
        KFACOptions(momentum=np.bool_(True))


def test_the_error_of_a_subclass_is_its_own():
    @options
    class Strict(KFACOptions):
        def __post_init__(self):
            super().__post_init__()
            raise ValueError("mine")

    with pytest.raises(ValueError, match=r"^mine$"):
        Strict()


def test_what_is_allowed_is_said_of_a_type_that_nothing_is_wrong_with():
    assert allowed(Annotated[int, Integer(2, 5)] | None) == "null or a whole number from 2 to 5"


def test_the_options_are_read_without_torch():
    code = (
        "import sys; from kfac_cli.engine import KFACOptions, NesterovOptions; "
        "KFACOptions(), NesterovOptions(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert NesterovOptions().mu_max == 0.99


def test_every_public_name_of_the_engine_is_there_and_no_other():
    import kfac_cli.engine as engine
    from kfac_cli.engine import public

    assert all(getattr(engine, name) is getattr(public, name) for name in public.__all__)
    imported = {}
    exec("from kfac_cli.engine import *", imported)
    assert {*public.__all__, "KFACOptions", "NesterovOptions", "TorchOptions"} <= set(imported)
    assert set(public.__all__) <= set(dir(engine))
    with pytest.raises(AttributeError, match="no attribute 'Adam'"):
        _ = engine.Adam
