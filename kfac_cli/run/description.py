"""What a run was: all that comparing runs needs besides their results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kfac_cli.config.schema import RunConfig, flat_settings

if TYPE_CHECKING:
    from kfac_cli.data.dataset import Dataset

FORMAT = 1
"""Version of summary.json; raise it when an entry changes its meaning or its name."""


def description(
    config: RunConfig, dataset: Dataset, command: str | None, commit: str | None
) -> dict[str, Any]:
    """The entries of summary.json that do not depend on how the run went.

    `command` is the command line as it was typed, `commit` the git commit around the folder where
    it was. `settings` has dotted names, `data` shape and SHA-256 of each tensor of the dataset.
    """
    return settings_described(config, command, commit) | {"data": dataset.fingerprint}


def settings_described(
    config: RunConfig, command: str | None, commit: str | None
) -> dict[str, Any]:
    """The entries that are known before the data are loaded."""
    return {
        "format": FORMAT,
        "title": config.title,
        "dataset": config.dataset.name,
        "optimizer": config.optimizer.name,
        "schedule": config.schedule.kind,
        "seed": config.seed,
        "tags": list(config.tags),
        "command": command,
        "git_commit": commit,
        "settings": flat_settings(config),
    }
