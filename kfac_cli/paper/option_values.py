"""The options of studies, from the text on the command line."""

import math
from collections.abc import Mapping, Sequence

from kfac_cli.errors import UserError, listed, shown

SECONDS = "seconds"

RUN = "run"
"""The folder of a run, which may have commas in its name."""

ALL = "all"
"""In place of a list of names."""


def names(options: Mapping[str, str], option: str, known: Sequence[str]) -> tuple[str, ...]:
    """Some of the known names, or all of them, in the order in which they are known.

    Raises UserError for another name.
    """
    if options[option] == ALL:
        return tuple(known)
    given = parts(options[option])
    for name in given:
        if name not in known:
            choices = listed([*known, ALL])
            raise UserError(f"{option}={shown(options[option])}: must be of {choices}")
    return tuple(name for name in known if name in given)


def whole_numbers(options: Mapping[str, str], option: str, least: int = 0) -> tuple[int, ...]:
    """Distinct whole numbers from `least` on, in ascending order; raises UserError for others."""
    text = options[option]
    numbers = [int(part) for part in parts(text) if part.isascii() and part.isdigit()]
    if not numbers or len(numbers) < len(parts(text)) or min(numbers) < least:
        raise UserError(
            f"{option}={shown(text)}: must be whole numbers from {least} on, with commas between"
        )
    return tuple(sorted(set(numbers)))


def batch_sizes(options: Mapping[str, str], usual: Sequence[int], cases: int) -> tuple[int, ...]:
    """The mini-batch sizes of the option `sizes`, or else the usual ones up to all `cases`.

    Raises UserError for one above the number of training cases.
    """
    if "sizes" not in options:
        return tuple(sorted({min(m, cases) for m in usual}))
    sizes = whole_numbers(options, "sizes", least=1)
    if sizes[-1] > cases:
        raise UserError(
            f"sizes={shown(options['sizes'])}: the dataset has only {cases:,} training cases; "
            f"give sizes of at most {cases}"
        )
    return sizes


def jobs(options: Mapping[str, str]) -> int:
    """How many runs are done beside each other; raises UserError for what is no such number."""
    if "jobs" not in options:
        return 1
    numbers = whole_numbers(options, "jobs", least=1)
    if len(numbers) > 1:
        raise UserError(f"jobs={shown(options['jobs'])}: must be one whole number")
    return numbers[0]


def seconds(options: Mapping[str, str]) -> float | None:
    """The option `seconds`, None if it was not given; raises UserError unless it is above 0."""
    if SECONDS not in options:
        return None
    text = options[SECONDS]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1e9:
        raise UserError(f"seconds={shown(text)}: must be a number above 0")
    return value


def refuse(settings: Sequence[str], chosen: Sequence[str]) -> None:
    """Raise UserError for a setting that the study chooses itself, or that ends no run for good.

    A run may have `max_seconds` anew each time that it is resumed.
    """
    for word in settings:
        name = word.lstrip("+").partition("=")[0]
        if name == "max_seconds":
            raise UserError(
                f"{shown(word)}: would give every run more time at each repetition; iterations=N "
                "or max_optimizer_seconds=N limits it"
            )
        if name in chosen:
            raise UserError(f"{shown(word)}: the study chooses this itself; leave it out")


def includes(option: str, new: str, old: str) -> bool:
    """Whether a value asks for what another one does, and perhaps for more."""
    if option == RUN:
        return new == old
    if option != SECONDS:
        return new == ALL or set(parts(new)) >= set(parts(old))
    try:
        return float(new) >= float(old)
    except ValueError:  # refused later, by the study
        return False


def parts(text: str) -> list[str]:
    """The values of a list."""
    return [part.strip() for part in text.strip("[]").split(",")]
