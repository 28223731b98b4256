"""What the report says: its tables and figures, from the runs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kfac_cli.errors import counted
from kfac_cli.report.curves import Reference, curves_figure
from kfac_cli.report.figures import Figure, Style, styles
from kfac_cli.report.groups import group_runs
from kfac_cli.report.inside import inside_figure, time_figure
from kfac_cli.report.measures import SECONDS
from kfac_cli.report.problem import Problem, not_recorded, problems
from kfac_cli.report.runs import Run
from kfac_cli.report.runs_table import runs_table, settings_table
from kfac_cli.report.scores import score_table, sensitivity_table
from kfac_cli.report.table import Table
from kfac_cli.report.targets import automatic_targets, decisive_target
from kfac_cli.report.time_table import headline, time_table
from kfac_cli.report.tuning import tuning_figure, tuning_table
from kfac_cli.report.verdicts import verdict_table


@dataclass(frozen=True)
class Part:
    """Everything about one dataset."""

    problem: Problem
    targets: tuple[float, ...]
    times: Table
    curves: Figure
    references: tuple[Reference, ...]
    verdicts: Table
    scores: Table
    sensitivity: Table
    tuning: Table
    searches: Figure | None
    inside: Figure | None
    seconds: Figure | None

    @property
    def dataset(self) -> str:
        """The name of the dataset."""
        return self.problem.dataset


@dataclass(frozen=True)
class Contents:
    """The whole report. `looks` has the style of each group that is drawn, by label."""

    title: str
    headlines: tuple[str, ...]
    summary: str
    complaints: tuple[str, ...]
    looks: dict[str, Style]
    parts: tuple[Part, ...]
    runs: Table
    settings: Table

    @property
    def tables(self) -> list[Table]:
        """Every table, each a CSV file."""
        of_parts = [
            table
            for part in self.parts
            for table in (part.times, part.verdicts, part.scores, part.sensitivity, part.tuning)
        ]
        return [*of_parts, self.runs, self.settings]

    @property
    def figures(self) -> list[Figure]:
        """Every figure that has panels."""
        every = [
            figure
            for part in self.parts
            for figure in (part.curves, part.searches, part.inside, part.seconds)
        ]
        return [figure for figure in every if figure is not None and figure.panels]


def contents(
    runs: Sequence[Run],
    complaints: Sequence[str] = (),
    targets: Sequence[float] = (),
    references: Sequence[Reference] = (),
) -> Contents:
    """Compare the runs; `targets` are chosen for each dataset if none are given."""
    groups, repeated = group_runs(runs)
    found = problems(groups)
    ordered = [group for problem in found for group in problem.groups]
    looks = styles([group.label for group in ordered])
    parts = []
    for number, problem in enumerate(found, start=1):
        ending = f"-{number}" if len(found) > 1 else ""
        chosen = tuple(targets) or automatic_targets(problem)
        parts.append(_part(problem, chosen, looks, references, ending))
    return Contents(
        title=_title(found),
        headlines=tuple(_headline(part, len(parts) > 1) for part in parts),
        summary=_summary(found, runs),
        complaints=(*complaints, *repeated),
        looks=looks,
        parts=tuple(parts),
        runs=runs_table(found, ordered, "runs"),
        settings=settings_table(ordered, "settings"),
    )


def _part(
    problem: Problem,
    targets: tuple[float, ...],
    looks: dict[str, Style],
    references: Sequence[Reference],
    ending: str,
) -> Part:
    decisive = decisive_target(problem, targets)
    return Part(
        problem=problem,
        targets=targets,
        times=time_table(problem, targets, f"time-to-target{ending}"),
        curves=curves_figure(problem, looks, f"curves{ending}", references),
        references=tuple(each for each in references if each.belongs_to(problem.dataset)),
        verdicts=verdict_table(problem, decisive, f"verdicts{ending}"),
        scores=score_table(problem, targets, f"ranking{ending}"),
        sensitivity=sensitivity_table(problem, targets, f"sensitivity{ending}"),
        tuning=tuning_table(problem, f"tuning{ending}"),
        searches=tuning_figure(problem, f"searches{ending}"),
        inside=inside_figure(problem, looks, f"inside{ending}"),
        seconds=time_figure(problem, f"time{ending}"),
    )


def _title(found: Sequence[Problem]) -> str:
    count = sum(len(problem.runs) for problem in found)
    names = ", ".join(problem.dataset for problem in found)
    return f"{count} {'run' if count == 1 else 'runs'} on {names}"


def _headline(part: Part, several: bool) -> str:
    line = headline(part.problem, decisive_target(part.problem, part.targets))
    return f"{part.dataset}: {line}" if several else line


def _summary(found: Sequence[Problem], runs: Sequence[Run]) -> str:
    groups = sum(len(problem.groups) for problem in found)
    ended = Counter(run.status for run in runs)
    parts = [
        f"{groups} {'group' if groups == 1 else 'groups'} of runs that differ only in the seed, or "
        "in settings that do not change results",
        "; ".join(f"{count} {status}" for status, count in ended.most_common()),
    ]
    machines = {each.dataset: str(each.machine) for each in found if each.machine is not None}
    if len(set(machines.values())) == 1:
        parts.append(f"seconds are compared on {next(iter(machines.values()))}")
    elif machines:
        each = "; ".join(f"{machine} ({dataset})" for dataset, machine in machines.items())
        parts.append(f"seconds are compared on {each}")
    elsewhere = sum(
        not problem.comparable(run, SECONDS) and not not_recorded(run)
        for problem in found
        for run in problem.runs
    )
    if elsewhere:
        parts.append(
            f"{counted(elsewhere, 'run')} on another machine or several, with other threads or "
            "versions, or from another start, whose seconds are marked and not ranked"
        )
    other = sum(problem.on_other_data(group) for problem in found for group in problem.groups)
    if other:
        parts.append(f"{other} {'group' if other == 1 else 'groups'} on other data, not ranked")
    return ". ".join(part[0].upper() + part[1:] for part in parts if part) + "."
