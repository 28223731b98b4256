"""The section of docs/performance.md from the results of the trials."""

import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.common.document import markdown_table
from benchmarks.common.timing import figures
from benchmarks.peers.clock import seconds_to
from benchmarks.peers.plan import KFAC_JAX, TARGETS, Entrant

MISSED = "missed"


class Outcome(NamedTuple):
    """What one entrant's trials over the seeds say; seconds are medians, infinite for a miss."""

    entrant: Entrant
    seconds: tuple[float, ...]
    iteration: float
    compilation: float
    lowest: float

    @property
    def rank(self) -> tuple[float, ...]:
        """Smaller for the better setting of a peer: the later targets first, then the error."""
        return (*reversed(self.seconds), self.lowest)


def outcome(entrant: Entrant, results: Sequence[dict[str, Any]], limit: float) -> Outcome:
    """Summarise the results of one entrant, at least one."""
    points = [[tuple(point) for point in result["points"]] for result in results]
    return Outcome(
        entrant,
        tuple(
            statistics.median_high([seconds_to(each, target, limit) for each in points])
            for target in TARGETS
        ),
        statistics.median([each[-1][0] / max(each[-1][1], 1) for each in points]),
        statistics.median([result.get("compilation", 0.0) for result in results]),
        statistics.median([min(error for _, _, error in each) for each in points]),
    )


def best_of_each(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The best setting of every peer, in the order of the peers."""
    best: dict[str, Outcome] = {}
    for each in outcomes:
        known = best.get(each.entrant.peer)
        if known is None or each.rank < known.rank:
            best[each.entrant.peer] = each
    return list(best.values())


def tables(outcomes: Sequence[Outcome]) -> str:
    """The best settings against each other, and below them all settings."""
    columns = ["", "setting", "s an iteration", *(f"s to error {t:g}" for t in TARGETS), "lowest"]
    best = best_of_each(outcomes)
    rows = [row for each in best for row in _rows(each)]
    return "\n\n".join(
        [
            markdown_table(columns, rows),
            ratios(best),
            "Every setting:",
            markdown_table(columns, [_rows(each)[0] for each in outcomes]),
        ]
    )


def _rows(each: Outcome) -> list[list[str]]:
    lowest = figures(each.lowest)
    cells = [each.entrant.peer, each.entrant.setting, figures(each.iteration)]
    rows = [[*cells, *map(_seconds, each.seconds), lowest]]
    if each.compilation > 0:
        cells = [f"{each.entrant.peer}, with its compilation", each.entrant.setting, ""]
        rows.append([*cells, *(_seconds(s + each.compilation) for s in each.seconds), lowest])
    return rows


def ratios(best: Sequence[Outcome], target: float = 5.0) -> str:
    """How many times as long as this project's fastest the peers take to one error."""
    place = TARGETS.index(target)
    ours = [each for each in best if each.entrant.peer.startswith("kfac-run")]
    fastest = min((each.seconds[place] for each in ours), default=math.inf)
    if not math.isfinite(fastest):
        return f"No optimizer of kfac-run reached an error of {target:g}."
    lines = []
    for each in best:
        if each in ours:
            continue
        text = _times(each.seconds[place], fastest)
        if each.entrant.peer == KFAC_JAX:
            text += f", {_times(each.seconds[place] + each.compilation, fastest)} with compilation"
        lines.append(f"{each.entrant.peer} {text}")
    first = min(ours, key=lambda each: each.seconds[place])
    return (
        f"To an error of {target:g}, as many times as long as {first.entrant.peer}: "
        f"{'; '.join(lines)}."
    )


def _times(seconds: float, base: float) -> str:
    return f"{figures(seconds / base)} ×" if math.isfinite(seconds) else MISSED


def _seconds(value: float) -> str:
    return figures(value) if math.isfinite(value) else MISSED
