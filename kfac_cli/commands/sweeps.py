"""What a command line sweeps: which settings, and how many runs that gives."""

import math
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep

from kfac_cli.errors import UserError, shown

MAX_JOBS = 100_000


def check_sweep(overrides: Sequence[str]) -> None:
    """Raise UserError for a sweep of no runs, or of more than MAX_JOBS.

    Hydra lists all runs before it starts the first.
    """
    parser = OverridesParser.create()
    jobs = 1.0
    for argument in overrides:
        try:
            jobs *= _values(parser.parse_override(argument))
        except Exception:  # Hydra will report it
            return
        if jobs == 0:
            raise UserError(f"{shown(argument)}: has no values")
        if not jobs <= MAX_JOBS:
            raise UserError(
                f"{shown(argument)}: gives more than {MAX_JOBS} runs, the maximum of a sweep"
            )


def swept_settings(overrides: Sequence[str]) -> set[str]:
    """The settings and groups that have several values on a command line."""
    parser, names = OverridesParser.create(), set()
    for argument in overrides:
        try:
            override = parser.parse_override(argument)
        except Exception:  # an option, or Hydra will report it
            continue
        if override.is_sweep_override():
            names.add(override.get_key_element())
    return names


def _values(override: Override) -> float:
    """How many values an override has; infinity for an endless range."""
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return len(value.list)
    if isinstance(value, RangeSweep):
        start, stop, step = (float(part or 0) for part in (value.start, value.stop, value.step))
        steps = (stop - start) / step if step != 0 else math.inf
        return max(0.0, steps) if not math.isnan(steps) else math.inf
    return 1
