"""The settings of a study's runs, checked before anything runs."""

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import FloatDistribution

from kfac_cli.commands.messages import explain
from kfac_cli.config.completion import make_paths_absolute
from kfac_cli.config.compose import composed
from kfac_cli.config.names import GROUPS
from kfac_cli.config.schema import RunConfig
from kfac_cli.config.validation import validate
from kfac_cli.engine.declaration import OptionError
from kfac_cli.errors import UserError, shown
from kfac_cli.tune.dimension import Dimension
from kfac_cli.tune.space import Space, parsed_word

WHOLE = "a whole number"


@dataclass(frozen=True)
class FirstPoint:
    """The settings of a study's runs at the first point of its space, composed and checked."""

    settings: DictConfig
    config: RunConfig


def trial_settings(
    space: Space, first: FirstPoint, values: Mapping[str, Any]
) -> tuple[DictConfig, RunConfig]:
    """The settings of a trial with these values of the searched settings.

    They are those of `kfac-run *space.overrides(values)`. Raises UserError if they are wrong.
    """
    if any(d.name in GROUPS for d in space.dimensions):
        return _composed(space.overrides(values))
    settings = first.settings
    for d in space.dimensions:
        settings = _changed(settings, d, values[d.name])
    return settings, validate(settings)


def _composed(overrides: Sequence[str]) -> tuple[DictConfig, RunConfig]:
    try:
        settings = composed(overrides)
    except Exception as error:
        raise UserError(explain(error, overrides)) from error
    make_paths_absolute(settings)  # so that the trial continues from any folder
    return settings, validate(settings)


def check_space(space: Space) -> FirstPoint:
    """Check every choice and both ends of every range; return the first point.

    Raises UserError, naming the setting, its range and what is allowed.
    """
    if not space.dimensions:
        raise UserError(
            "nothing to search: give a setting a range, SETTING=interval(LOW,HIGH) or SETTING=A,B,"
            " or choose a ready-made space, search=NAME; kfac-tune --help shows how"
        )
    values = {d.name: d.extremes()[0] for d in space.dimensions}
    try:
        first = FirstPoint(*_composed(space.overrides(values)))
        _check_optimizer(first.config)
    except UserError as error:
        raise UserError(_line(str(error), space)) from error
    for d in space.dimensions:
        for value in d.extremes()[1:]:
            try:
                _, config = trial_settings(space, first, {**values, d.name: value})
                _check_optimizer(config)
            except UserError as error:
                raise UserError(_line(str(error), Space((), (d,)))) from error
    return first


def _line(reason: str, space: Space) -> str:
    """The reason, with the range that it is about and how to get whole numbers."""
    d = _blamed(reason, space.dimensions)
    if d is None:
        return reason
    hint = ""
    if isinstance(d.distribution, FloatDistribution) and WHOLE in reason:
        hint = "; write int(interval(LOW,HIGH))"
    return f"{shown(d.word)}: {reason}{hint}"


def _blamed(reason: str, dimensions: Sequence[Dimension]) -> Dimension | None:
    """The searched setting with whose name a reason begins, or one of torch's arguments.

    Which of the arguments torch refuses, a reason that begins with all of them does not say.
    """
    whole = (d for d in dimensions if re.match(rf"{re.escape(d.name)}(?!\w)", reason))
    section = (d for d in dimensions if reason.startswith(d.name.rpartition(".")[0] + "="))
    return next(whole, None) or next(section, None)


def _changed(settings: DictConfig, searched: Dimension, value: Any) -> DictConfig:
    """The settings with another value, as composing them anew would give, but sooner."""
    changed = copy.deepcopy(settings)
    parsed = parsed_word(searched.override(value)).value()
    try:
        OmegaConf.update(changed, searched.name, parsed, merge=False)
    except OmegaConfBaseException as error:
        raise UserError(explain(error, [searched.override(value)])) from error
    return changed


def _check_optimizer(config: RunConfig) -> None:
    from kfac_cli.engine.registry import check_options

    try:
        check_options(config.optimizer)
    except OptionError as error:
        raise UserError(error.line("optimizer.")) from error
