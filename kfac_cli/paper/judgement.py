"""What runs say about statements that compare two methods on a problem."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kfac_cli.paper.progress import Ratio, ratios
from kfac_cli.paper.statement import Statement
from kfac_cli.paper.study import Finding
from kfac_cli.report.measures import Cost
from kfac_cli.report.runs import Run
from kfac_cli.report.table import Table, number_cell, text_cell

MethodRuns = Mapping[str, Sequence[Run]]
"""The runs of each method on one problem, one for each seed, in the same order of seeds."""

TUNED = ("optimizer.learning_rate", "optimizer.mu_max", "schedule.size")
"""What is chosen for the baseline, which a reader must know."""


@dataclass(frozen=True)
class Comparison:
    """A statement about what a method costs in units of what another one costs.

    Its values are the cost of `other` over that of `method`, to the same training errors, of runs
    with the same seed.
    """

    statement: Statement
    method: str
    other: str
    cost: Cost

    def ratios(self, runs: MethodRuns) -> list[Ratio]:
        """The ratios at the common errors of each seed; none without runs of both methods."""
        pairs = zip(runs.get(self.method, ()), runs.get(self.other, ()), strict=False)
        return [ratio for own, other in pairs for ratio in ratios(own, other, self.cost)]

    def finding(self, problem: str, runs: MethodRuns) -> Finding:
        """What the runs on a problem say."""
        missing = [name for name in (self.method, self.other) if not runs.get(name)]
        if missing:
            note = f"There is no run of {' and '.join(missing)}."
            return self.statement.finding([], problem, note=note)
        found = self.ratios(runs)
        numbers: dict[str, float | int | str] = {"seeds": len(runs[self.method])}
        if found:
            last = min(found, key=lambda ratio: ratio.error)
            what = f"{self.cost.label} of {self.method} and {self.other} to error {last.error:.3g}"
            numbers[what] = f"{last.own:.4g} and {last.other:.4g}"
        numbers |= _baseline([*runs[self.method], *runs[self.other]])
        return self.statement.finding([ratio.value for ratio in found], problem, numbers)


def ratios_table(comparisons: Sequence[Comparison], runs: Mapping[str, MethodRuns]) -> Table:
    """Every ratio of every comparison, by problem: `ratio` is the cost of `other` over `own`."""
    columns = ("problem", "cost", "method", "other", "seed", "error", "own", "others", "ratio")
    rows = tuple(
        (
            *map(text_cell, (problem, each.cost.column, each.method, each.other, ratio.seed)),
            *map(number_cell, (ratio.error, ratio.own, ratio.other, ratio.value)),
        )
        for problem, of_problem in runs.items()
        for each in comparisons
        for ratio in each.ratios(of_problem)
    )
    return Table("ratios", "ratios", columns, rows)


def _baseline(runs: Sequence[Run]) -> dict[str, float | int | str]:
    """The values of the baseline, if it is among the runs."""
    for run in runs:
        if run.settings.get("optimizer.kind") == "nesterov":
            values = [f"{name}={run.settings.get(name)}" for name in TUNED]
            return {"the baseline has": " ".join(values)}
    return {}
