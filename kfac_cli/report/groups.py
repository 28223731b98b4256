"""Runs that differ only in the seed, and short names for them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kfac_cli.errors import written
from kfac_cli.recording.summary import FAILED
from kfac_cli.report.runs import UNFINISHED, Run
from kfac_cli.report.table import shortened

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
        "data_dir",
    }
)
"""The settings that may differ within a group: the seed, and those that do not change results.

A preset only names a choice of other settings.
"""

DATA_FILES = frozenset(
    {
        "dataset.file",
        "dataset.train_inputs",
        "dataset.train_targets",
        "dataset.test_inputs",
        "dataset.test_targets",
    }
)
"""Where the data are: ignored where the contents themselves were recorded."""

NAMES = ("dataset.name", "optimizer.name")
"""The settings whose value alone says what it is of."""

SHORT = 4
"""Digits of a number in a label."""

LONG = 40
"""Characters of another value in a label."""

REDUNDANT = frozenset({"optimizer.kind"})


@dataclass(frozen=True)
class Group:
    """Runs with the same settings but for the seed, on the same data; in the order of their seeds.

    `label` names the settings in which the group differs from the others.
    """

    label: str
    runs: tuple[Run, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that all its runs share and that can change results."""
        return compared_settings(self.runs[0])

    @property
    def seeds(self) -> tuple[int | None, ...]:
        """The seeds of its runs."""
        return tuple(run.seed for run in self.runs)


def compared_settings(run: Run) -> dict[str, Any]:
    """The settings of a run but for those that may differ within a group."""
    ignored = IGNORED if run.data is None else IGNORED | DATA_FILES
    return {name: value for name, value in run.settings.items() if name not in ignored}


def group_runs(runs: Sequence[Run]) -> tuple[list[Group], list[str]]:
    """Put runs that differ only in the seed together; also return a line for each one left out.

    Of runs with the same seed, which are no independent samples, the one that got farthest counts.
    """
    members: dict[tuple[object, ...], list[Run]] = {}
    for run in with_data(runs):
        members.setdefault(_key(run), []).append(run)
    complaints: list[str] = []
    kept = [_one_per_seed(group, complaints) for group in members.values()]
    labels = _unique(group_labels([group[0] for group in kept]))
    groups = [Group(label, tuple(group)) for label, group in zip(labels, kept, strict=True)]
    return groups, complaints


def with_data(runs: Sequence[Run]) -> list[Run]:
    """The runs, those without a record of their data taken to be on that of equal settings.

    A run that was killed, or failed early, leaves none; its files and all else are the same.
    """
    known = {_settings_key(run): run.data for run in runs if run.data is not None}
    return [
        run if run.data is not None else replace(run, data=known.get(_settings_key(run)))
        for run in runs
    ]


def _settings_key(run: Run) -> tuple[object, ...]:
    return tuple(
        (name, shown_fully(value))
        for name, value in sorted(run.settings.items())
        if name not in IGNORED
    )


def _unique(labels: Sequence[str]) -> list[str]:
    """The labels, a number after each one that was there before."""
    seen: Counter[str] = Counter()
    unique = []
    for label in labels:
        seen[label] += 1
        unique.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return unique


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
    names = _ordered_names(settings)
    ends = short_names(names)
    labels = []
    for own in settings:
        others, parts = [other for other in settings if other is not own], []
        for name in names:
            if any(_value(other, name) != _value(own, name) for other in others):
                others = [other for other in others if _value(other, name) == _value(own, name)]
                parts.append(_part(name, ends[name], own, short))
        labels.append(" ".join(parts) or _part("optimizer.name", "", own, short))
    return labels


def telling_settings(groups: Sequence[Group]) -> list[str]:
    """Of the settings that differ, those that do not merely follow from the optimizer's name.

    They differ among groups with one optimizer, or all groups have them and they differ.
    """
    members: dict[str, list[Group]] = {}
    for group in groups:
        members.setdefault(group.runs[0].optimizer, []).append(group)
    within = {name for inside in members.values() for name in differing_settings(inside)}
    return [
        name
        for name in differing_settings(groups)
        if name not in NAMES and (name in within or all(name in group.settings for group in groups))
    ]


def short_names(names: Sequence[str]) -> dict[str, str]:
    """The last part of each name, or the whole name if another one ends alike."""
    ends = [name.rpartition(".")[2] for name in names]
    return {
        name: end if ends.count(end) == 1 else name for name, end in zip(names, ends, strict=True)
    }


def differing_settings(groups: Sequence[Group]) -> list[str]:
    """The names of the settings that are not the same in all groups."""
    settings = [group.settings for group in groups]
    return [
        name
        for name in _ordered_names(settings)
        if len({_value(own, name) for own in settings}) > 1
    ]


def setting_text(settings: Mapping[str, Any], name: str) -> str:
    """A setting's value as on the command line; a dash if there is no such setting."""
    return value_text(settings[name]) if name in settings else "–"


def value_text(value: Any) -> str:
    """A value as on the command line, a whole number without its point."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return written(value)


def _key(run: Run) -> tuple[object, ...]:
    settings = compared_settings(run)
    return (run.data, *((name, shown_fully(settings[name])) for name in sorted(settings)))


def shown_fully(value: Any) -> str:
    """A value as text that is equal for equal values."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return repr(value)
    return repr(float(value))  # 1 and 1.0 are one setting


def _one_per_seed(runs: Sequence[Run], complaints: list[str]) -> list[Run]:
    kept: dict[object, Run] = {}
    for run in runs:
        seed = run.seed if run.seed is not None else run.folder
        other = kept.get(seed)
        if other is None:
            kept[seed] = run
            continue
        better, worse = (run, other) if _progress(run) > _progress(other) else (other, run)
        kept[seed] = better
        complaints.append(
            f"{worse.name}: repeats {better.name}, with the same settings and seed {run.seed}, and "
            "is not counted"
        )
    return sorted(kept.values(), key=lambda run: (run.seed is None, run.seed or 0))


def _progress(run: Run) -> tuple[bool, int]:
    return run.status not in (FAILED, UNFINISHED), run.iterations


def _data_letter(runs: Sequence[Run], run: Run) -> dict[str, str]:
    """Which of the different contents of one dataset a run was on, if there are several."""
    contents = [other.data for other in runs if other.dataset == run.dataset and other.data]
    if run.data is None or len(set(contents)) < 2:
        return {}
    place = list(dict.fromkeys(contents)).index(run.data)
    return {"data": chr(ord("A") + place) if place < 26 else str(place)}


def _ordered_names(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """All names but redundant ones; first those by which people call runs."""
    every = dict.fromkeys(name for own in settings for name in own if name not in REDUNDANT)

    def place(name: str) -> int:
        if name in NAMES:
            return NAMES.index(name)
        if any(name not in own for own in settings):  # of another version, or of another optimizer
            return 9
        return 3 if name.startswith("optimizer.") else 4

    return sorted(every, key=place)


def _value(settings: Mapping[str, Any], name: str) -> str | None:
    return shown_fully(settings[name]) if name in settings else None


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
