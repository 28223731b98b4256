"""What runs say about statements that compare two methods on a problem."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kfac_cli.paper.progress import ratios
from kfac_cli.paper.statement import Statement
from kfac_cli.paper.study import Finding
from kfac_cli.report.measures import Cost
from kfac_cli.report.runs import Run

MethodRuns = Mapping[str, Sequence[Run]]
"""The runs of each method on one problem, one for each seed, in the same order of seeds."""


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

    def finding(self, problem: str, runs: MethodRuns) -> Finding:
        """What the runs on a problem say."""
        missing = [name for name in (self.method, self.other) if not runs.get(name)]
        if missing:
            note = f"There is no run of {' and '.join(missing)}."
            return self.statement.finding([], problem, note=note)
        found = [
            ratio
            for own, other in zip(runs[self.method], runs[self.other], strict=True)
            for ratio in ratios(own, other, self.cost)
        ]
        numbers: dict[str, float | int | str] = {"seeds": len(runs[self.method])}
        numbers |= {
            f"{self.cost.label} of {self.method} and {self.other} to error {ratio.error:.3g}"
            f"{self._seed(runs, ratio.seed)}": f"{ratio.own:.4g} and {ratio.other:.4g}"
            for ratio in found
        }
        return self.statement.finding([ratio.value for ratio in found], problem, numbers)

    def _seed(self, runs: MethodRuns, seed: int | None) -> str:
        return f", seed {seed}" if len(runs[self.method]) > 1 else ""
