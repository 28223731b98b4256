"""The settings of runs: which of them are compared, and as text."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from kfac_cli.config.completion import path_settings
from kfac_cli.config.device_kind import device_kind
from kfac_cli.errors import written
from kfac_cli.report.runs import Run

IGNORED = frozenset(
    {
        "seed",
        "tags",
        "tensorboard",
        "checkpoint.every",
        "checkpoint.minutes",
        "checkpoint.keep",
        "require_target",
        "preset.name",
        "chunk_size",
        "optimizer.activation_memory",
        "data_dir",
    }
)
"""The settings that may differ within a group: the seed, and those that do not change results.

A preset only names a choice of other settings.
"""

NAMES = ("dataset.name", "optimizer.name")
"""The settings whose value alone says what it is of."""

REDUNDANT = frozenset({"optimizer.kind"})


def compared_settings(run: Run) -> dict[str, Any]:
    """The settings of a run but for those that may differ within a group.

    Of several equal GPUs it does not matter which one it was, nor where the data were if their
    contents were recorded.
    """
    ignored = IGNORED if run.data is None else IGNORED | _data_files()
    return {
        name: device_kind(value) if name == "device" and value is not None else value
        for name, value in run.settings.items()
        if name not in ignored
    }


@cache
def _data_files() -> frozenset[str]:
    return frozenset(name for name in path_settings() if name.startswith("dataset."))


def shown_fully(value: Any) -> str:
    """A value as text that is equal for equal values."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return repr(value)
    return repr(float(value))  # 1 and 1.0 are one setting


def value_of(settings: Mapping[str, Any], name: str) -> str | None:
    """A setting's value as text that is equal for equal values; None if there is no such one."""
    return shown_fully(settings[name]) if name in settings else None


def value_text(value: Any) -> str:
    """A value as on the command line, a whole number without its point."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return written(value)


def setting_text(settings: Mapping[str, Any], name: str) -> str:
    """A setting's value as on the command line; a dash if there is no such setting."""
    return value_text(settings[name]) if name in settings else "–"


def ordered_names(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """All names but redundant ones; first those by which people call runs."""
    every = dict.fromkeys(name for own in settings for name in own if name not in REDUNDANT)

    def place(name: str) -> int:
        if name in NAMES:
            return NAMES.index(name)
        if any(name not in own for own in settings):  # of another version, or of another optimizer
            return 9
        return 3 if name.startswith("optimizer.") else 4

    return sorted(every, key=place)


def short_names(names: Sequence[str]) -> dict[str, str]:
    """The last part of each name, or the whole name if another one ends alike."""
    ends = [name.rpartition(".")[2] for name in names]
    return {
        name: end if ends.count(end) == 1 else name for name, end in zip(names, ends, strict=True)
    }
