"""A statement of the paper about one figure, and the rule by which it is confirmed."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kfac_cli.paper.study import Finding, Verdict

NEVER = "never"
"""What an infinite value is shown as: of a cost, or of its ratio to a finite one."""


def or_never(value: float, digits: int = 4) -> str:
    """A value with so many digits, or that it is infinite."""
    return f"{value:.{digits}g}" if math.isfinite(value) else NEVER


def middle_values(values: Sequence[float]) -> tuple[float, ...]:
    """The median; the two values that it is between if only one of them is finite."""
    low, high = statistics.median_low(values), statistics.median_high(values)
    if math.isfinite(high) or low == high:
        return (statistics.median(values),)
    return low, high


@dataclass(frozen=True)
class Statement:
    """A statement about the median of several values, such as ratios of costs.

    `paper` is what the paper says, in its numbers where it has any; `rule` says in words what
    `holds` decides; `quantity` names the values.
    """

    text: str
    source: str
    quantity: str
    paper: str
    rule: str
    holds: Callable[[float], bool]

    def finding(
        self,
        values: Sequence[float],
        where: str = "",
        numbers: Mapping[str, float | int | str] | None = None,
        note: str = "",
    ) -> Finding:
        """What these values say about the statement; without any but nan it is not measured.

        Infinite ones, of runs that never get there, count in the median; where it is between a
        finite and an infinite one, the rule must hold for both. `where` is what the values
        belong to, such as a problem; `numbers` are shown besides, and `note` is what the reader
        must know besides the rule.
        """
        known = [float(value) for value in values if not math.isnan(value)]
        text = f"{where}: {self.text}" if where else self.text
        if not known:
            reason = note or "No run can decide this."
            return Finding(text, self.source, Verdict.NOT_MEASURED, numbers or {}, 0, reason)
        rule = f"Paper: {self.paper}. Confirmed if {self.rule}."
        middle = middle_values(known)
        shown: dict[str, float | int | str] = {
            f"{self.quantity}, median": _shown(middle),
            f"{self.quantity}, range": f"{or_never(min(known), 3)} to {or_never(max(known), 3)}",
            **(numbers or {}),
        }
        verdict = Verdict.CONFIRMED if all(map(self.holds, middle)) else Verdict.NOT_CONFIRMED
        return Finding(text, self.source, verdict, shown, len(known), f"{rule} {note}".strip())


def _shown(middle: Sequence[float]) -> float | str:
    if len(middle) == 1 and math.isfinite(middle[0]):
        return middle[0]
    return " to ".join(map(or_never, middle))
