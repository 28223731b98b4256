"""The groups on one dataset, and which of their figures can be ranked together."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from kfac_cli.recording.summary import DIVERGED
from kfac_cli.report.groups import Group
from kfac_cli.report.machine import Environment
from kfac_cli.report.measures import ITERATIONS, SECONDS, Cost, Values, best_error, time_to
from kfac_cli.report.runs import Run

Common = TypeVar("Common")

OTHER_DATA = "other data"
OTHER_MACHINE = "other machine"
UNKNOWN_MACHINE = "machine not recorded"
SEVERAL_MACHINES = "several machines"
OTHER_START = "other start"


@dataclass(frozen=True)
class Problem:
    """The groups on one dataset.

    `data` is the fingerprint of the contents that most runs were on, `machine` the environment of
    most runs. Groups on other contents are not ranked; nor are the seconds of runs elsewhere, or
    from another start.
    """

    dataset: str
    groups: tuple[Group, ...]
    data: str | None
    machine: Environment | None

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs of all groups."""
        return tuple(run for group in self.groups for run in group.runs)

    @property
    def ranked(self) -> tuple[Group, ...]:
        """The groups on the same data."""
        return tuple(group for group in self.groups if not self.on_other_data(group))

    def on_other_data(self, group: Group) -> bool:
        """Whether the group was on contents that are known to differ from those of most runs."""
        own = group.runs[0].data
        return own is not None and self.data is not None and own != self.data

    def comparable(self, run: Run, cost: Cost) -> bool:
        """Whether the cost of a run can be ranked: its seconds only of this machine and start."""
        if cost != SECONDS:
            return True
        return self.machine is not None and run.environment.key == self.machine.key

    def marks(self, run: Run) -> list[str]:
        """Why the run is not ranked, or its seconds are not."""
        own = run.data is not None and self.data is not None and run.data != self.data
        seconds = [self.mark_of_seconds(run)] * (not self.comparable(run, SECONDS))
        return [OTHER_DATA] * own + seconds

    def mark_of_seconds(self, run: Run) -> str:
        """Why the seconds of a run are not ranked."""
        if run.environment.mixed:
            return SEVERAL_MACHINES
        if not_recorded(run):
            return UNKNOWN_MACHINE
        here, there = self.machine, run.environment
        marks = {
            OTHER_MACHINE: here is not None and there.machine != here.machine,
            OTHER_START: here is not None and there.start != here.start,
        }
        return ", ".join(mark for mark, holds in marks.items() if holds)

    def times(self, group: Group, target: float, cost: Cost, budget: float = math.inf) -> Values:
        """Times to the target (runs,), infinite for a miss, of the runs that can be ranked.

        A target that takes more iterations than the budget is a miss. Without a run that can be
        ranked, those of all runs.
        """
        times = [
            time_to(run, target, cost) if time_to(run, target, ITERATIONS) <= budget else math.inf
            for run in self.timed(group, target, cost)
        ]
        return np.array(times)

    def timed(self, group: Group, target: float, cost: Cost) -> list[Run]:
        """The runs whose times to the target count.

        A run whose machine was not recorded, as that of a run that was killed, counts if it missed
        the target, which it did in any unit; whether a run is of another machine, or of several,
        does not depend on what it reached, so that such runs can be left out.
        """
        if not any(self.comparable(run, cost) for run in group.runs):
            return list(group.runs)
        return [
            run
            for run in group.runs
            if self.comparable(run, cost)
            or (not_recorded(run) and math.isinf(time_to(run, target, ITERATIONS)))
        ]

    def comparable_runs(self, group: Group, cost: Cost) -> list[Run]:
        """The runs whose cost can be ranked; all of the group if there is none."""
        return [run for run in group.runs if self.comparable(run, cost)] or list(group.runs)

    def is_ranked(self, group: Group, cost: Cost) -> bool:
        """Whether the times of a group can be compared with those of others."""
        return not self.on_other_data(group) and any(
            self.comparable(run, cost) for run in group.runs
        )


def not_recorded(run: Run) -> bool:
    """Whether the machine of a run is not known."""
    return run.environment.key is None and not run.environment.mixed


def problems(groups: Sequence[Group]) -> list[Problem]:
    """Put the groups on each dataset together, best first."""
    members: dict[str, list[Group]] = {}
    for group in groups:
        members.setdefault(group.runs[0].dataset, []).append(group)
    return [_problem(dataset, inside) for dataset, inside in members.items()]


def typical_error(group: Group) -> float:
    """The median over the seeds of the best training error."""
    return median([best_error(run) for run in group.runs])


def diverged(group: Group) -> bool:
    """Whether the median of its runs did, whatever their errors had been before."""
    return 2 * sum(run.status == DIVERGED for run in group.runs) >= len(group.runs)


def place_of(group: Group) -> tuple[bool, float, str]:
    """What groups are ordered by: whether they diverged, the typical error, the name."""
    return diverged(group), typical_error(group), group.label


def median(values: Iterable[float]) -> float:
    """The median, in which an infinite value is larger than any other; nan of nothing.

    Of an even number of values it is infinite if the upper one of the middle two is.
    """
    ordered = np.sort([value for value in values if not math.isnan(value)])
    if not len(ordered):
        return math.nan
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return float(high if math.isinf(high) else (low + high) / 2)


def _problem(dataset: str, groups: Sequence[Group]) -> Problem:
    runs = [run for group in groups for run in group.runs]
    data = _most_common([run.data for run in runs if run.data is not None])
    keys = [run.environment for run in runs if run.environment.key is not None]
    key = _most_common([environment.key for environment in keys])
    machine = next((each for each in keys if each.key == key), None)
    ordered = sorted(groups, key=place_of)
    return Problem(dataset, tuple(ordered), data, machine)


def _most_common(values: Sequence[Common]) -> Common | None:
    return Counter(values).most_common(1)[0][0] if values else None
