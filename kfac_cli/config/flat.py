"""The settings of a run as one flat mapping, for comparing, logging and keeping them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from kfac_cli.config.schema import RunConfig


def flat_settings(config: RunConfig) -> dict[str, Any]:
    """Dotted name to value, lists being lists: what JSON gives back as it was."""
    return {name: _plain(value) for name, value in _flat(asdict(config), "")}


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _flat(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
