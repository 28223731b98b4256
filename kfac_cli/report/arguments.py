"""The command line of kfac-report."""

import argparse
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from kfac_cli.errors import UserError, listed, shown
from kfac_cli.report.claim import Claim, parse_claim
from kfac_cli.report.statistics import LEVEL

OPTIONS = ("output", "targets")


@dataclass(frozen=True)
class Arguments:
    """What the command line asks for.

    Attributes:
        paths: folders of runs, sweeps and searches.
        output: where the report goes.
        targets: the training errors to measure the time to; empty to have them chosen.
        claims: the claims to be tested, instead of a report.
        level: the level of their tests.
        references: names, patterns or files of published curves to draw.
        reference_seconds: whether these are drawn against seconds too.
        lists_references: whether the published curves are to be listed.
    """

    paths: tuple[str, ...]
    output: Path
    targets: tuple[float, ...]
    claims: tuple[Claim, ...] = ()
    level: float = LEVEL
    references: tuple[str, ...] = ()
    reference_seconds: bool = False
    lists_references: bool = False


def claims(words: Sequence[str]) -> bool:
    """Whether a command line, right or wrong, is about claims."""
    return any(word == "--claim" or word.startswith("--claim=") for word in words)


def parse(words: Sequence[str]) -> Arguments:
    """Read the command line. Raises UserError for a mistake."""
    given = _parsed(words)
    paths, options = [], {}
    for word in given.words:
        name, equals, value = word.partition("=")
        if equals and name in OPTIONS:
            options[name] = value
        elif equals and name.isidentifier() and not os.path.lexists(word):
            raise UserError(f"{shown(word)}: must be a folder, or {listed(OPTIONS)}=VALUE")
        else:
            paths.append(word)
    if not paths and not given.references:
        _refuse("no folder given")
    if options.get("output") == "":
        raise UserError("output=: must name a folder")
    if given.level is not None and not given.claim:
        raise UserError("--level: belongs to --claim")
    unused = [*(f"{name}=" for name in options), *["--reference"] * bool(given.reference)]
    unused += ["--reference-seconds"] * given.reference_seconds
    if given.claim and unused:
        raise UserError(f"{unused[0]}: belongs to a report, which --claim does not write")
    return Arguments(
        paths=tuple(paths),
        output=with_home(options.get("output", "report"), "output="),
        targets=_targets(options.get("targets")),
        claims=tuple(parse_claim(text) for text in given.claim),
        level=_level(given.level),
        references=tuple(given.reference),
        reference_seconds=given.reference_seconds,
        lists_references=given.references,
    )


def with_home(text: str, option: str) -> Path:
    """The path with the home folder for ~. Raises UserError, after `option`, if there is none."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UserError(f"{option}{shown(text)}: there is no such home folder") from None


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="kfac-report", add_help=False, exit_on_error=False, allow_abbrev=False
    )
    parser.error = _refuse  # type: ignore[method-assign]
    parser.add_argument("words", nargs="*")
    parser.add_argument("--claim", action="append", default=[])
    parser.add_argument("--level")
    parser.add_argument("--reference", action="append", default=[])
    parser.add_argument("--reference-seconds", action="store_true")
    parser.add_argument("--references", action="store_true")
    try:
        given, unknown = parser.parse_known_intermixed_args(words)
    except argparse.ArgumentError as error:
        _refuse(str(error))
    if unknown:
        _refuse(f"{shown(unknown[0])}: no such option")
    return given


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message}; kfac-report --help shows how it is used")


def _targets(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        values = [float(part) for part in text.strip("[]").split(",")]
    except ValueError:
        values = [math.nan]
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise UserError(f"targets={shown(text)}: must be errors above 0, as targets=5,2")
    return tuple(sorted(dict.fromkeys(values), reverse=True))


def _level(text: str | None) -> float:
    try:
        level = LEVEL if text is None else float(text)
    except ValueError:
        level = math.nan
    if not 0 < level < 0.5:
        raise UserError(f"--level {shown(text)}: must be above 0 and below 0.5")
    return level
