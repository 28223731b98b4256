"""Decide a claim from runs: which of them it is about, what they reached, whether it holds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kfac_cli.errors import UserError, shown
from kfac_cli.report.claim import Claim, CostToError, ErrorAtIteration, Selection
from kfac_cli.report.claimed_costs import (
    check_costs,
    cost_text,
    costs,
    earliest_costs,
    judged,
    longest,
)
from kfac_cli.report.compared import compared_settings, shown_fully
from kfac_cli.report.comparison import Comparison, compare
from kfac_cli.report.groups import group_runs, one_per_sample, start_of, with_data
from kfac_cli.report.problem import median
from kfac_cli.report.runs import Run
from kfac_cli.report.statistics import LEVEL, seeds_needed
from kfac_cli.report.verdicts import error_at

BUDGETS = frozenset(
    {"iterations", "max_seconds", "max_optimizer_seconds", "target_error", "require_target"}
)
"""Settings that say how long a run lasts, in which the runs of one side may differ."""

Sample = tuple[float, ...]
"""The values of the runs of one side."""

Outcome = Literal["held", "did not hold", "too few runs", "too short runs"]


@dataclass(frozen=True)
class Decision:
    """What the runs say about a claim.

    `better` and `worse` are the values of the runs on either side, in the order of their seeds;
    infinite where a target was not reached or an error is not finite. `comparison` is None if a
    side has no runs; `had_they_gone_on` are the comparisons in which the runs of one side that
    ended early reach the target right after their end. `notes` says what was left out.
    """

    claim: Claim
    level: float
    better: Sample
    worse: Sample
    comparison: Comparison | None
    had_they_gone_on: tuple[Comparison, ...]
    notes: tuple[str, ...]

    @property
    def outcome(self) -> Outcome:
        """Whether it holds at the level, or why the runs cannot say.

        No outcome of so few runs could show that it does, or it depends on whether runs that ended
        early would have reached the target.
        """
        if self.comparison is None or not _at_most(self.comparison.smallest_p, self.level):
            return "too few runs"
        each = (self.comparison, *self.had_they_gone_on)
        holds = {_at_most(comparison.p, self.level) for comparison in each}
        if len(holds) > 1:
            return "too short runs"
        return "held" if holds.pop() else "did not hold"

    def __str__(self) -> str:
        lines = [f"claim   {self.claim}"]
        for selection, values in (
            (self.claim.better, self.better),
            (self.claim.worse, self.worse),
        ):
            lines.append(f"runs    {selection.text}: {_sample(values, self.claim)}")
        lines += [f"note    {note}" for note in self.notes]
        if (comparison := self.comparison) is not None:
            low, high = comparison.interval
            lines.append(
                f"effect  {_times(comparison.ratio)} as much on the right, "
                f"{1 - 2 * self.level:.0%} interval {_times(low)} to {_times(high)}"
            )
            how = "all divisions counted" if comparison.exact else "normal approximation"
            lines.append(
                f"test    one-sided Mann-Whitney, {how}: p = {comparison.p:.3g}, "
                f"level {self.level:g}"
            )
        lines.append(f"verdict {self.outcome}{self._advice()}")
        return "\n".join(lines)

    def _advice(self) -> str:
        if self.outcome == "too short runs":
            return ": it depends on what runs that missed the target do later; let them run longer"
        if self.outcome != "too few runs":
            return ""
        needed = seeds_needed(self.level)
        return f": a test at level {self.level:g} needs {needed} seeds or more on each side"


def decide(claim: Claim, runs: Sequence[Run], level: float = LEVEL) -> Decision:
    """Test a claim over the seeds at a level.

    Runs that something else than the optimizer ended before the target are not counted. A run that
    missed the target counts as worse than any that reached it; where it had less time than the
    other side, the claim must come out the same had it reached the target right after its end.

    Raises UserError if a side stands for no run or for runs that differ in more than the seed, both
    sides have a run in common or are on different data, no run was evaluated at the iteration, a
    cost was not recorded, or seconds were measured in different or unknown circumstances.
    """
    notes: list[str] = []
    runs = with_data(runs)
    better, worse = (_side(side, runs, notes) for side in (claim.better, claim.worse))
    _check_data(claim, [*better, *worse])
    if any(run in worse for run in better):
        raise UserError("--claim: a run belongs to both sides")
    measure = claim.measure
    longer: list[tuple[Sample, Sample]] = []
    if isinstance(measure, ErrorAtIteration):
        _check_evaluated(measure, [*better, *worse])
        samples = _errors(measure, better, notes), _errors(measure, worse, notes)
    else:
        better, worse = (judged(measure, side, notes) for side in (better, worse))
        check_costs(measure, [*better, *worse])
        first, second = samples = costs(measure, better), costs(measure, worse)
        of_first, of_second = longest(measure, better, first), longest(measure, worse, second)
        longer = [
            (earliest_costs(measure, better, first, of_second, notes), second),
            (first, earliest_costs(measure, worse, second, of_first, notes)),
        ]
    if not all(samples):
        return Decision(claim, level, *samples, None, (), tuple(notes))
    others = tuple(compare(*pair, level) for pair in longer)
    return Decision(claim, level, *samples, compare(*samples, level), others, tuple(notes))


def _side(selection: Selection, runs: Sequence[Run], notes: list[str]) -> list[Run]:
    """The runs of one side, one for each seed, or for each run that they start from.

    They may differ in how long they are, unless their steps depend on it.
    """
    chosen = [run for run in runs if selection.holds(run.settings)]
    if not chosen:
        raise UserError(f"--claim: no run has {selection.text}{_known(selection, runs)}")
    groups, complaints = group_runs(chosen)
    notes += complaints
    settings = [compared_settings(run) for run in chosen]
    free = BUDGETS - {"iterations"} if any(map(_plans_its_end, settings)) else BUDGETS
    if _are_from_different_runs(chosen):
        free |= {"start_from"}
    names = dict.fromkeys(name for own in settings for name in own if name not in free)
    for name in names:
        values = {shown_fully(own.get(name)): shown(own.get(name)) for own in settings}
        if len(values) > 1:
            raise UserError(
                f"--claim: {selection.text} stands for runs with different values of {name}: "
                f"{', '.join(values.values())}; add one of them, such as "
                f"{name}={next(iter(values.values()))}"
            )
    pooled = [run for group in groups for run in group.runs]
    return one_per_sample(pooled, notes, "the same settings but for its length")


def _are_from_different_runs(runs: Sequence[Run]) -> bool:
    """Whether all started from other runs, none from different checkpoints of one."""
    starts = {run.settings.get("start_from") for run in runs}
    return None not in starts and len({start_of(run) for run in runs}) == len(starts)


def _plans_its_end(settings: Mapping[str, object]) -> bool:
    """Whether the steps depend on how many are planned: `planned_values` of the options."""
    schedule = settings.get("optimizer.rate_schedule", "constant")
    return schedule != "constant" or settings.get("optimizer.final_iterations", 0) != 0


def _known(selection: Selection, runs: Sequence[Run]) -> str:
    """The values that the runs have of the first setting that excludes all of them."""
    for name in selection.settings:
        values = dict.fromkeys(shown(run.settings[name]) for run in runs if name in run.settings)
        if not values:
            return f"; they have no setting {name}"
        if not any(
            Selection("", {name: selection.settings[name]}).holds(run.settings) for run in runs
        ):
            return f"; their {name}: {', '.join(values)}"
    return " together"


def _check_data(claim: Claim, runs: Sequence[Run]) -> None:
    if len({run.data for run in runs if run.data is not None}) > 1:
        raise UserError(f"--claim: {claim.better.text} and {claim.worse.text} ran on other data")


def _check_evaluated(measure: ErrorAtIteration, runs: Sequence[Run]) -> None:
    known = sorted({int(k) for run in runs for k in run.evaluations.get("iteration", ())})
    if measure.iteration not in known:
        text = ", ".join(map(str, known[:20])) + (", …" if len(known) > 20 else "")
        raise UserError(
            f"--claim: at iteration {measure.iteration} no run was evaluated, but at "
            f"{text or 'none'}"
        )


def _errors(measure: ErrorAtIteration, runs: Sequence[Run], notes: list[str]) -> tuple[float, ...]:
    values = []
    for run in runs:
        error = error_at(run, measure.iteration)
        if math.isnan(error):
            notes.append(
                f"{run.name}: has no evaluation at iteration {measure.iteration} and is not counted"
            )
        else:
            values.append(error)
    return tuple(values)


def _sample(values: Sequence[float], claim: Claim) -> str:
    if not values:
        return "no runs"
    text = cost_text if isinstance(claim.measure, CostToError) else _error_text
    return f"{', '.join(map(text, values))} (n = {len(values)}, median {text(median(values))})"


def _error_text(value: float) -> str:
    return "diverged" if math.isinf(value) else f"{value:.4g}"


def _times(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:.3g} times"


def _at_most(p: float, level: float) -> bool:
    return p <= level * (1 + 1e-9)
