"""Verdicts: for each pair of groups the better one, or that the evidence is insufficient."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from kfac_cli.report.endings import ENDED_EARLIER, earliest_times, lost, slowest_hits, stopped
from kfac_cli.report.groups import Group
from kfac_cli.report.measures import ITERATIONS, MEASURES, SECONDS, Cost, Values, measured
from kfac_cli.report.problem import Problem
from kfac_cli.report.runs import Run
from kfac_cli.report.statistics import LEVEL, Verdict, seeds_needed, verdict
from kfac_cli.report.table import Cell, Table, text_cell
from kfac_cli.report.time_table import group_cell

MAX_GROUPS = 6

INSUFFICIENT = "evidence insufficient"


def verdict_table(problem: Problem, target: float | None, name: str) -> Table:
    """A row for each pair of the best groups: time to the target, and error at the last iteration.

    That is the last one at which all runs of the pair that were not stopped were evaluated.
    """
    groups = contenders(problem)
    pairs = list(itertools.combinations(groups, 2))
    columns = ["group", "and group", "seeds"]
    if target is not None:
        columns += [f"iterations to error {target:g}", f"optimizer seconds to error {target:g}"]
    columns += ["error at the last common iteration"]
    rows = []
    for pair in pairs:
        seeds = " + ".join(str(len(group.runs)) for group in pair)
        cells = [*(group_cell(group.label) for group in pair), text_cell(seeds)]
        if target is not None:
            cells += [
                _time_cell(problem, pair, target, ITERATIONS),
                _time_cell(problem, pair, target, SECONDS),
            ]
        rows.append((*cells, _error_cell(pair)))
    note = _note(len(pairs), problem)
    return Table(name, "Verdicts", tuple(columns), tuple(rows), note, csv_text=True)


def contenders(problem: Problem) -> list[Group]:
    """The groups that are compared in pairs: the best of each optimizer, then the best others."""
    seen: set[str] = set()
    first: list[Group] = []
    others: list[Group] = []
    for group in problem.ranked:
        (others if group.runs[0].optimizer in seen else first).append(group)
        seen.add(group.runs[0].optimizer)
    return [*first, *others][:MAX_GROUPS]


def error_at(run: Run, iteration: float) -> float:
    """The training error of a run at an iteration; infinite if it diverged before.

    nan if it was not evaluated there for another reason.
    """
    values = measured(run, MEASURES[0])
    at = np.flatnonzero(run.evaluations.get("iteration", np.array([])) == iteration)
    if len(at):
        value = float(values[at[0]])
        return value if math.isfinite(value) else math.inf
    return math.inf if lost(run) else math.nan


def last_common_iteration(runs: Sequence[Run]) -> float | None:
    """The last iteration at which all runs that did not diverge were evaluated."""
    each = [
        set(run.evaluations.get("iteration", np.array([])).tolist())
        for run in runs
        if not lost(run)
    ]
    common = set.intersection(*each) if each else set()
    return max(common, default=None)


def _time_cell(problem: Problem, pair: Sequence[Group], target: float, cost: Cost) -> Cell:
    """The verdict that holds whenever the runs that ended too early would have got there."""
    if not all(problem.is_ranked(group, cost) for group in pair):
        return Cell(None, "not comparable", "quiet")
    times = [problem.times(group, target, cost) for group in pair]
    earliest = [
        earliest_times(problem, group, target, cost, slowest_hits(problem, [other], target))
        for group, other in (pair, pair[::-1])
    ]
    extremes = [_verdict((earliest[0], times[1])), _verdict((times[0], earliest[1]))]
    censored = any((early < late).any() for early, late in zip(earliest, times, strict=True))
    if censored and (extremes[0].better is None or extremes[0].better != extremes[1].better):
        return Cell(None, f"{INSUFFICIENT} (runs {ENDED_EARLIER})", "quiet")
    return _cell(pair, max(extremes, key=lambda verdict: verdict.p))


def _error_cell(pair: Sequence[Group]) -> Cell:
    """The verdict on the errors of the runs that were not stopped."""
    ended = [[run for run in group.runs if not stopped(run)] for group in pair]
    iteration = last_common_iteration([*ended[0], *ended[1]])
    if iteration is None:
        return Cell(None, "no iteration in common", "quiet")
    samples = [np.array([error_at(run, iteration) for run in runs]) for runs in ended]
    return _cell(pair, _verdict(samples), f" at {iteration:.0f}")


def _verdict(samples: Sequence[Values]) -> Verdict:
    """The verdict on two samples, of which nans do not count."""
    first, second = (values[~np.isnan(values)].tolist() for values in samples)
    return verdict(first, second)


def _cell(pair: Sequence[Group], result: Verdict, where: str = "") -> Cell:
    if math.isnan(result.p):
        return Cell(None, INSUFFICIENT, "quiet")
    p = f"p\u00a0=\u00a0{result.p:.2g}{where}"
    if result.sizes != tuple(len(group.runs) for group in pair):
        p += ", n\u00a0=\u00a0" + " + ".join(map(str, result.sizes))
    if result.better is None:
        return Cell(result.p, f"{INSUFFICIENT} ({p})", "quiet")
    return Cell(result.p, f"{pair[result.better].label} ({p})", "best")


def _note(pairs: int, problem: Problem) -> str:
    left_out = len(problem.ranked) - MAX_GROUPS
    parts = [
        "Exact permutation test of Mann and Whitney over the seeds, two-sided, since the better "
        f"group was not named in advance; level {LEVEL:g}. A run that misses the target counts as "
        "worse than any that reaches it, unless it was stopped, failed, is still running, or ended "
        "before the slowest run of the other group got there: then a group is named only if the "
        "verdict is the same whenever that run would have reached the target. With fewer than "
        f"{seeds_needed(LEVEL, 2)} seeds each no difference is large enough. "
        "Errors are compared without the runs that were stopped, failed or still run, seconds "
        "without those of other machines or starts; n is then the number of runs that count."
    ]
    if pairs > 1:
        parts.append(
            f"Of {pairs} comparisons of equal groups, {LEVEL * pairs:.2g} would be below the "
            "level by chance."
        )
    tried = Counter(group.runs[0].optimizer for group in problem.ranked)
    several = ", ".join(f"{name} {count}" for name, count in tried.items() if count > 1)
    if several:
        parts.append(
            f"Where an optimizer has several groups ({several}), the best was chosen by the errors "
            "of the seeds that are tested here, which makes its p too small: confirm it with other "
            "seeds."
        )
    if left_out > 0:
        parts.append(
            f"Compared are the best group of each optimizer and the best others, {MAX_GROUPS} in "
            f"all; {left_out} more are not."
        )
    return " ".join(parts)
