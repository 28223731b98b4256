"""Which settings may be others when a run is taken up again. Nothing here needs torch."""

from collections.abc import Mapping
from typing import Any

from kfac_cli.config import RunConfig
from kfac_cli.config.flat import flat_settings
from kfac_cli.config.rules import shown
from kfac_cli.errors import UserError

MAY_CHANGE = (
    # when to stop
    "iterations",
    "max_seconds",
    "target_error",
    "max_rejections",
    # what is recorded and kept
    "evaluate_every",
    "tensorboard",
    "checkpoint.every",
    "checkpoint.minutes",
    # where it is computed: results then agree but for rounding
    "device",
    "threads",
    "chunk_size",
    # where the data are, which are compared themselves
    "data_dir",
    "dataset.file",
    "dataset.train_inputs",
    "dataset.train_targets",
    "dataset.test_inputs",
    "dataset.test_targets",
)


def changed_settings(before: Mapping[str, Any], config: RunConfig) -> dict[str, str]:
    """The settings whose values differ from `before`, dotted name to "name=new (was old)"."""
    return {
        name: f"{name}={shown(value)} (was {shown(before[name])})"
        for name, value in flat_settings(config).items()
        if name in before and before[name] != value
    }


def check_settings(before: Mapping[str, Any], config: RunConfig) -> None:
    """Raise UserError, naming all settings that differ from `before` and must not."""
    changed = changed_settings(before, config)
    wrong = [text for name, text in changed.items() if name not in MAY_CHANGE]
    if wrong:
        raise UserError(
            f"{', '.join(wrong)}: a run goes on with the settings that it began with; what may "
            f"change is {', '.join(MAY_CHANGE)}"
        )
