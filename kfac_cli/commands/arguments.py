"""The options on the command line, and settings that were written like options."""

import argparse
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from kfac_cli.commands.resume import KEYWORD
from kfac_cli.config.names import GROUPS, setting_names
from kfac_cli.errors import UserError, shown


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse Hydra's options as Hydra does, but report a mistake in one line.

    Raises UserError also for what Hydra would misread: abbreviated options, a setting that begins
    with dashes, and --package without --cfg, as which any word after -p counts.
    """

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message}; kfac-run --help shows the options")

    parser = get_args_parser()
    parser.exit_on_error = False
    parser.allow_abbrev = False
    parser.error = refuse  # type: ignore[method-assign]  # it would still exit for some mistakes
    _refuse_dashed_settings(arguments, set(parser._option_string_actions))
    try:
        options, unknown = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        refuse(str(error))
    if unknown:
        advice = "put options before the settings; kfac-run --help shows them"
        raise UserError(f"{shown(unknown[0])}: not recognized here; {advice}")
    if options.experimental_rerun is not None:
        raise UserError("--experimental-rerun: refused, because it executes code from a pickle")
    if options.package is not None and options.cfg is None:
        raise UserError(
            f"--package {shown(options.package)}: needs --cfg job; a setting is written without "
            "a dash: SETTING=VALUE"
        )
    assert isinstance(options, argparse.Namespace)
    return options


def _refuse_dashed_settings(arguments: Sequence[str], options: set[str]) -> None:
    """Refuse --iterations=10, -iterations=10 and --iterations 10."""
    for argument, following in pairwise([*arguments, ""]):
        written, equals, value = argument.partition("=")
        if not written.startswith("-") or written in options:
            continue
        name = _setting(written)
        if name is None:
            continue
        if not equals:
            is_value = following and not following.startswith("-") and "=" not in following
            value = following if is_value else "VALUE"
        advice = f"write {shown(f'{name}={value}')}"
        raise UserError(f"{shown(argument)}: settings have no dashes; {advice}")


def _setting(written: str) -> str | None:
    """The setting or group of settings that is meant by a word with dashes; None if there is none.

    A dash within is read as an underscore.
    """
    name = re.sub(r"^-+", "", written)
    plain = name.lstrip("+~")
    for candidate in (plain, plain.replace("-", "_")):
        known = candidate in {*setting_names(), *GROUPS, KEYWORD.rstrip("=")}
        if known or candidate.startswith(("hydra.", "optimizer.arguments.")):
            return name[: len(name) - len(plain)] + candidate
    return None
