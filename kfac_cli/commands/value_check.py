"""Checking the values on a command line before anything is created or run.

What only files or torch can tell is left to the run, and errors in composing the settings to Hydra,
which reports them before any job.
"""

import copy
import re
from collections.abc import Iterator, Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from kfac_cli.config.compose import composed
from kfac_cli.config.names import GROUPS
from kfac_cli.config.validation import validate
from kfac_cli.errors import UserError

MAX_CHECKED = 2000
"""Of more jobs than this the first are checked: each takes some milliseconds."""


def check_values(overrides: Sequence[str]) -> None:
    """Raise UserError for a value that a run would refuse."""
    try:
        settings = composed(overrides, hydra=True)
    except Exception:  # Hydra reports it
        return
    if settings.hydra.mode == RunMode.MULTIRUN:
        check_sweep_values(overrides)
    else:
        _check(settings)


def check_sweep_values(overrides: Sequence[str]) -> None:
    """Raise UserError, naming the job, for a value that a job of a sweep would refuse."""
    bases: dict[tuple[str, ...], DictConfig] = {}
    for number, words, swept in _jobs(overrides):
        plain = [word for word in swept if _is_plain(word)]
        others = tuple(word for word in words if word not in plain)
        try:
            if others not in bases:
                bases[others] = composed(others, hydra=True)
            settings = _changed(bases[others], plain)
        except Exception:  # Hydra reports it
            return
        try:
            _check(settings)
        except UserError as error:
            job = f"job {number} ({' '.join(swept)})"
            raise UserError(f"{job}: {error}; no job was started") from error


def _jobs(overrides: Sequence[str]) -> Iterator[tuple[int, list[str], list[str]]]:
    """The number of each job, its words, and those of them that the sweep gave it."""
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        [every] = BasicSweeper.split_arguments(parsed, None)
    except Exception:  # Hydra reports it
        return
    swept = {override.get_key_element() for override in parsed if override.is_sweep_override()}
    for number, words in enumerate(every[:MAX_CHECKED]):
        yield number, list(words), [word for word in words if word.partition("=")[0] in swept]


def _is_plain(word: str) -> bool:
    """Whether a word gives a setting a value, rather than choosing, adding or removing."""
    key = word.partition("=")[0]
    named = re.fullmatch(r"\w+(\.\w+)*", key) is not None and not key.startswith("hydra.")
    return named and key not in GROUPS


def _changed(base: DictConfig, words: Sequence[str]) -> DictConfig:
    """The settings with other values, as composing them anew would give, but sooner."""
    settings = copy.deepcopy(base)
    for override in OverridesParser.create().parse_overrides(list(words)):
        OmegaConf.update(settings, override.key_or_group, override.value(), merge=True)
    return settings


def _check(settings: DictConfig) -> None:
    """Validate composed settings, Hydra's included; those that depend on the folder are not."""
    HydraConfig.instance().set_config(settings)
    with open_dict(settings):
        del settings["hydra"]
    try:
        validate(settings)
    except UserError as error:
        if not isinstance(error.__cause__, OmegaConfBaseException):
            raise
