"""A statement of the paper about one figure, and the rule by which it is confirmed."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kfac_cli.paper.study import Finding, Verdict


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
        """What these values say about the statement; without a finite one it is not measured.

        `where` is what they belong to, such as a problem; `numbers` are shown besides, and `note`
        is what the reader must know besides the rule.
        """
        known = [float(value) for value in values if math.isfinite(value)]
        text = f"{where}: {self.text}" if where else self.text
        rule = f"Paper: {self.paper}. Confirmed if {self.rule}."
        if not known:
            reason = note or "no run allows to say"
            return Finding(
                text, self.source, Verdict.NOT_MEASURED, numbers or {}, 0, f"{rule} {reason}"
            )
        middle = statistics.median(known)
        shown: dict[str, float | int | str] = {
            f"{self.quantity}, median": middle,
            f"{self.quantity}, range": f"{min(known):.3g} to {max(known):.3g}",
            **(numbers or {}),
        }
        verdict = Verdict.CONFIRMED if self.holds(middle) else Verdict.NOT_CONFIRMED
        return Finding(text, self.source, verdict, shown, len(known), f"{rule} {note}".strip())
