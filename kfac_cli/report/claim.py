"""Claims such as "optimizer=kfac_tridiag < optimizer=adam at error 5 by seconds", as written."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser

from kfac_cli.errors import UserError, listed, shown

GROUPS = {
    "dataset": "dataset.name",
    "optimizer": "optimizer.name",
    "schedule": "schedule.kind",
    "preset": "preset.name",
}
"""The config groups: `optimizer=adam` is short for `optimizer.name=adam`.

A choice that has the name or kind of another one, as `schedule=fixed_250` has, is told from it by
the settings that it changes: `schedule=fixed schedule.size=250`.
"""

Cost = Literal["iterations", "cases", "seconds"]
COSTS: tuple[Cost, ...] = ("iterations", "cases", "seconds")

_FORM = re.compile(
    r"(?P<left>.+?)\s*(?P<relation>[<>])\s*(?P<right>.+?)\s+at\s+(?P<measure>error|iteration)"
    r"\s+(?P<value>\S+)(?:\s+by\s+(?P<cost>\S+))?\s*"
)
_EXAMPLE = '"optimizer=kfac_tridiag < optimizer=adam at error 5 by seconds"'


@dataclass(frozen=True)
class Selection:
    """The runs whose settings have these values; dotted names as in config.yaml."""

    text: str
    settings: Mapping[str, Any]

    def holds(self, settings: Mapping[str, Any]) -> bool:
        """Whether a run with these settings belongs to it; numbers are compared as numbers."""
        return all(
            name in settings and _same(settings[name], value)
            for name, value in self.settings.items()
        )


@dataclass(frozen=True)
class CostToError:
    """The iterations, cases or optimizer seconds that training to an error takes."""

    error: float
    cost: Cost

    def __str__(self) -> str:
        return f"{self.cost} to a training error of {self.error:g}"


@dataclass(frozen=True)
class ErrorAtIteration:
    """The training error of an iteration."""

    iteration: int

    def __str__(self) -> str:
        return f"training error at iteration {self.iteration}"


@dataclass(frozen=True)
class Claim:
    """That a measure, the smaller the better, is smaller in the runs of `better`."""

    better: Selection
    worse: Selection
    measure: CostToError | ErrorAtIteration

    def __str__(self) -> str:
        return f"{self.better.text} < {self.worse.text}: {self.measure}"


def parse_claim(text: str) -> Claim:
    """Read a claim: `A < B at error NUMBER [by COST]` or `A < B at iteration NUMBER`.

    A and B are one or more settings, `NAME=VALUE`, separated by spaces; `A > B` is `B < A`; COST is
    one of `COSTS`, by default iterations. Raises UserError if it has another form.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise UserError(
            f"--claim {shown(text)}: must have the form {_EXAMPLE} or, for the errors themselves, "
            '"A < B at iteration 200"'
        )
    left, right = (_selection(text, match[side]) for side in ("left", "right"))
    if left.settings == right.settings:
        raise UserError(f"--claim {shown(text)}: both sides name the same runs")
    if match["relation"] == ">":
        left, right = right, left
    return Claim(left, right, _measure(text, match["measure"], match["value"], match["cost"]))


def _measure(
    text: str, measure: str, value: str, cost: str | None
) -> CostToError | ErrorAtIteration:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if measure == "iteration":
        if cost is not None:
            raise UserError(
                f"--claim {shown(text)}: 'by {cost}' belongs to 'at error', not to 'at iteration'"
            )
        if not (number >= 0 and number == int(min(number, 1e15))):
            raise UserError(
                f"--claim {shown(text)}: iteration {shown(value)} must be a whole number from 0"
            )
        return ErrorAtIteration(int(number))
    if not 0 < number < math.inf:
        raise UserError(f"--claim {shown(text)}: error {shown(value)} must be a number above 0")
    for known in COSTS:
        if cost in (None, known):
            return CostToError(number, known)
    raise UserError(f"--claim {shown(text)}: by {shown(cost)} must be by {listed(COSTS)}")


def _selection(claim: str, text: str) -> Selection:
    settings = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UserError(
                f"--claim {shown(claim)}: {shown(word)} is no setting; write NAME=VALUE, such as "
                "optimizer=adam or optimizer.learning_rate=0.01"
            )
        settings[GROUPS.get(name, name)] = _value(value)
    return Selection(" ".join(text.split()), settings)


def _value(text: str) -> Any:
    """The value as the command line reads it."""
    try:
        override = OverridesParser.create().parse_override(f"value={text}")
    except Exception:  # also Python's, for a number of 5000 digits or a deeply nested list
        return text
    return text if override.is_sweep_override() else override.value()


def _same(recorded: Any, claimed: Any) -> bool:
    """Whether two values are equal; true is not 1."""
    if isinstance(recorded, bool) or isinstance(claimed, bool):
        return recorded is claimed
    return bool(recorded == claimed)
