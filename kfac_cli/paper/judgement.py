"""What runs say about statements that compare two methods on a problem."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kfac_cli.errors import counted
from kfac_cli.paper.progress import Ratio, ratios
from kfac_cli.paper.statement import Statement, or_never
from kfac_cli.paper.study import Finding
from kfac_cli.report.measures import SECONDS, Cost, best_error
from kfac_cli.report.runs import Run
from kfac_cli.report.table import Table, number_cell, text_cell

MethodRuns = Mapping[str, Sequence[Run]]
"""The runs of each method on one problem, one for each seed, in the same order of seeds."""

TUNED = ("optimizer.learning_rate", "optimizer.mu_max", "schedule.size")
"""What is chosen for the baseline, which a reader must know."""


def note_on_left_out(seeds: int) -> str:
    """What a finding says of seeds whose runs have no seconds to compare; nothing of none."""
    if not seeds:
        return ""
    return (
        f"Left out: {counted(seeds, 'seed')} with runs on different or several machines, devices, "
        "threads or versions, whose seconds cannot be compared."
    )


def comparable(own: Run, other: Run, cost: Cost) -> bool:
    """Whether the costs of two runs can be compared: seconds only of the same environment."""
    key = own.environment.key
    return cost != SECONDS or (key is not None and key == other.environment.key)


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
        """The ratios at the compared errors of each seed; none without runs of both methods."""
        return [ratio for pair in self._pairs(runs) for ratio in ratios(*pair, self.cost)]

    def finding(self, problem: str, runs: MethodRuns) -> Finding:
        """What the runs on a problem say."""
        missing = [name for name in (self.method, self.other) if not runs.get(name)]
        if missing:
            note = f"There is no run of {' and '.join(missing)}."
            return self.statement.finding([], problem, note=note)
        by_pair = [ratios(*pair, self.cost) for pair in self._pairs(runs)]
        found = [ratio for of_pair in by_pair for ratio in of_pair]
        left_out = len(self._all_pairs(runs)) - len(by_pair)
        numbers: dict[str, float | int | str] = {
            "seeds": sum(map(bool, by_pair)),
            **self._censored(by_pair),
        }
        pair = f"{self.method} and {self.other}"
        lowest = [_lowest(runs[name]) for name in (self.method, self.other)]
        numbers[f"lowest errors of {pair}"] = " and ".join(map(or_never, lowest))
        if found:
            last = min(found, key=lambda ratio: ratio.error)
            what = f"{self.cost.label} of {pair} to error {last.error:.3g}"
            numbers[what] = f"{or_never(last.own)} and {or_never(last.other)}"
        numbers |= _values([*runs[self.method], *runs[self.other]])
        values = [ratio.value for ratio in found]
        return self.statement.finding(values, problem, numbers, note_on_left_out(left_out))

    def _pairs(self, runs: MethodRuns) -> list[tuple[Run, Run]]:
        """Those runs of both methods with the same seed whose costs can be compared."""
        return [pair for pair in self._all_pairs(runs) if comparable(*pair, self.cost)]

    def _all_pairs(self, runs: MethodRuns) -> list[tuple[Run, Run]]:
        return list(zip(runs.get(self.method, ()), runs.get(self.other, ()), strict=False))

    def _censored(self, by_pair: Sequence[Sequence[Ratio]]) -> dict[str, int]:
        """How many seeds are no ratio of two costs, by the reason; only what there is."""
        first = [of_pair[0] for of_pair in by_pair if of_pair]
        counts = {
            f"seeds of which {self.other} never reaches an error of {self.method}": sum(
                math.isinf(ratio.other) for ratio in first
            ),
            f"seeds of which {self.method} never reaches an error of {self.other}": sum(
                math.isinf(ratio.own) for ratio in first
            ),
            "seeds whose runs have no errors to compare": len(by_pair) - len(first),
        }
        return {name: count for name, count in counts.items() if count}


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


def _lowest(runs: Sequence[Run]) -> float:
    """The median over the runs of their lowest training errors."""
    return statistics.median(map(best_error, runs))


def _values(runs: Sequence[Run]) -> dict[str, float | int | str]:
    """The preset of K-FAC, and the values of the baseline, of those that are among the runs."""
    found: dict[str, float | int | str] = {}
    for run in runs:
        kind = run.settings.get("optimizer.kind")
        if kind == "kfac" and (preset := run.settings.get("preset.name")) is not None:
            found["K-FAC has"] = f"preset={preset}"
        if kind == "nesterov":
            values = [f"{name}={run.settings.get(name)}" for name in TUNED]
            found["the baseline has"] = " ".join(values)
    return found
