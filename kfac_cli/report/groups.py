"""Runs that differ only in the seed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kfac_cli.checkpoint.folder import PREFIX
from kfac_cli.recording.summary import FAILED
from kfac_cli.report.compared import (
    IGNORED,
    NAMES,
    compared_settings,
    ordered_names,
    shown_fully,
    value_of,
)
from kfac_cli.report.labels import group_labels, unique
from kfac_cli.report.runs import UNFINISHED, Run


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


def group_runs(runs: Sequence[Run]) -> tuple[list[Group], list[str]]:
    """Put runs that differ only in the seed together; also return a line for each one left out.

    Of runs that are no independent samples (`one_per_sample`) the one that got farthest counts.
    """
    members: dict[tuple[object, ...], list[Run]] = {}
    for run in with_data(runs):
        members.setdefault(_key(run), []).append(run)
    complaints: list[str] = []
    kept = [one_per_sample(group, complaints) for group in members.values()]
    labels = unique(group_labels([group[0] for group in kept]))
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


def _key(run: Run) -> tuple[object, ...]:
    settings = compared_settings(run)
    return (run.data, *((name, shown_fully(settings[name])) for name in sorted(settings)))


def one_per_sample(
    runs: Sequence[Run], complaints: list[str], same: str = "the same settings"
) -> list[Run]:
    """The runs that are independent samples, in the order of their seeds.

    Of runs with the same seed the one that got farthest counts; so it does of those with the same
    start_from, from which they have the initial parameters and the mini-batches, whatever the
    seed. A line for each one left out, which has `same` in common, is added to the complaints.
    """
    kept: dict[object, Run] = {}
    for run in runs:
        sample, shared = _sample(run)
        other = kept.setdefault(sample, run)
        if other is run:
            continue
        better, worse = (run, other) if _progress(run) > _progress(other) else (other, run)
        kept[sample] = better
        complaints.append(
            f"{worse.name}: repeats {better.name}, with {same} and {shared}, and is not counted"
        )
    return sorted(kept.values(), key=lambda run: (run.seed is None, run.seed or 0))


def _sample(run: Run) -> tuple[object, str]:
    """What runs that are no independent samples have in common, and as text."""
    if (start := start_of(run)) is not None:
        return start, f"start_from={start}, whatever the seed"
    return run.folder if run.seed is None else run.seed, f"seed {run.seed}"


def start_of(run: Run) -> Path | None:
    """The folder of the run that a run started from, also if its checkpoint was named."""
    if (start := run.settings.get("start_from")) is None:
        return None
    path = Path(str(start))
    return path.parent if path.name.startswith(PREFIX) else path


def _progress(run: Run) -> tuple[bool, int]:
    return run.status not in (FAILED, UNFINISHED), run.iterations


def differing_settings(groups: Sequence[Group]) -> list[str]:
    """The names of the settings that are not the same in all groups."""
    settings = [group.settings for group in groups]
    return [
        name
        for name in ordered_names(settings)
        if len({value_of(own, name) for own in settings}) > 1
    ]


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
