"""The options of a search, which stand on the command line beside the settings of its runs."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Strict

from kfac_cli.engine.declaration import declared_fields, options
from kfac_cli.engine.option_types import About, Allowed, Count, FilePath, FolderName, Seed
from kfac_cli.errors import UserError, shown

Objective = Literal["error", "seconds", "iterations", "cases"]


@options
class TuneOptions:
    """The options of kfac-tune; `--help` explains them."""

    output: Annotated[FilePath | None, About("folder of the study; null for a new one")] = None
    trials: Annotated[
        Count | None,
        About("trials of the whole study; null for 40, or for every point of a grid"),
    ] = None
    search: Annotated[FilePath | None, About("ready-made space, or a file with one")] = None
    sampler: Annotated[
        Literal["tpe", "qmc", "random", "grid"], About("how the trials are chosen")
    ] = "tpe"
    sampler_seed: Annotated[Seed, About("seed of the sampler")] = 0
    pruner: Annotated[
        Literal["median", "hyperband", "none"] | None,
        About("which trials are stopped early; null for median where equal iterations are fair"),
    ] = None
    objective: Annotated[
        Objective | None,
        About(
            "what is minimised: the best training error, or what the run took until target_error; "
            "null for seconds where there is a target_error and the error otherwise"
        ),
    ] = None
    storage: Annotated[
        Annotated[str, Strict(), Allowed("the URL of a database")] | None,
        About("database of the study; null for a file in its folder"),
    ] = None
    study: Annotated[FolderName, About("name of the study in the storage")] = "kfac-tune"
    studies: Annotated[Count, About("studies of each optimizer, with --protocol")] = 3


NAMES = tuple(declared_fields(TuneOptions))

NUMBERS = ("trials", "sampler_seed", "studies")
"""The options that are whole numbers; of the others, 7 is a name."""

IDENTITY = ("sampler", "sampler_seed", "pruner", "objective", "study")
"""The options that are the same for everyone who works on a study."""


def read_options(words: Sequence[str]) -> tuple[TuneOptions, dict[str, Any]]:
    """The options among the words NAME=VALUE, and those of them that were given, name to value.

    Raises UserError for a value that is not allowed.
    """
    given: dict[str, Any] = {
        name: _value(name, text) for name, _, text in (word.partition("=") for word in words)
    }
    try:
        return TuneOptions(**given), given
    except ValueError as error:
        raise UserError(str(error)) from error


def is_option(word: str) -> bool:
    """Whether a word of the command line is an option of the search."""
    name, equals, _ = word.partition("=")
    return bool(equals) and name in NAMES


def option_word(name: str, value: object) -> str:
    """An option as it is typed."""
    return f"{name}={shown(value)}"


def _value(name: str, text: str) -> str | int | None:
    if text in ("null", ""):
        return None
    is_number = name in NUMBERS and re.fullmatch(r"[+-]?\d{1,20}", text)
    return int(text) if is_number else text
