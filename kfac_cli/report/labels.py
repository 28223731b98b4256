"""Short names for runs with different settings."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kfac_cli.report.compared import (
    NAMES,
    compared_settings,
    ordered_names,
    setting_text,
    short_names,
    value_of,
    value_text,
)
from kfac_cli.report.runs import Run
from kfac_cli.report.table import shortened

SHORT = 4
"""Digits of a number in a label."""

LONG = 40
"""Characters of another value in a label."""


def group_labels(runs: Sequence[Run]) -> list[str]:
    """A label for each run, made of the settings that tell it from the other runs.

    Settings that follow from those already named are not repeated: of two optimizers only the names
    are shown, of two learning rates of one of them also the rates. Numbers have four digits, and of
    long values the middle is left out, unless groups would then be called alike.
    """
    labels = _labels(runs, short=True)
    return labels if len(set(labels)) == len(labels) else _labels(runs, short=False)


def _labels(runs: Sequence[Run], *, short: bool) -> list[str]:
    settings = [{**compared_settings(run), **_data_letter(runs, run)} for run in runs]
    names = ordered_names(settings)
    ends = short_names(names)
    labels = []
    for own in settings:
        others, parts = [other for other in settings if other is not own], []
        for name in names:
            if any(value_of(other, name) != value_of(own, name) for other in others):
                others = [other for other in others if value_of(other, name) == value_of(own, name)]
                parts.append(_part(name, ends[name], own, short))
        labels.append(" ".join(parts) or _part("optimizer.name", "", own, short))
    return labels


def _data_letter(runs: Sequence[Run], run: Run) -> dict[str, str]:
    """Which of the different contents of one dataset a run was on, if there are several."""
    contents = [other.data for other in runs if other.dataset == run.dataset and other.data]
    if run.data is None or len(set(contents)) < 2:
        return {}
    place = list(dict.fromkeys(contents)).index(run.data)
    return {"data": chr(ord("A") + place) if place < 26 else str(place)}


def _part(name: str, end: str, settings: Mapping[str, Any], short: bool) -> str:
    """What a label says of a setting, of whose name it has the `end`."""
    if name in NAMES:
        return setting_text(settings, name)
    if name not in settings:
        return f"no {end}"
    if name == "data":
        return f"data {settings[name]}"
    value = settings[name]
    if not short:
        return f"{end}={value_text(value)}"
    if isinstance(value, float):
        value = float(f"{value:.{SHORT}g}")
    return f"{end}={shortened(value_text(value), LONG)}"


def unique(labels: Sequence[str]) -> list[str]:
    """The labels, a number after each one that was there before."""
    seen: Counter[str] = Counter()
    numbered = []
    for label in labels:
        seen[label] += 1
        numbered.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return numbered
