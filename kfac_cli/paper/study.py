"""What a study of the paper is, and what it finds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

RUNS = "runs"
"""The folder of the runs in that of a study."""


class Verdict(StrEnum):
    """Whether a statement of the paper held here."""

    CONFIRMED = "confirmed"
    NOT_CONFIRMED = "not confirmed"
    NOT_MEASURED = "not measured"


class Scale(StrEnum):
    """The paper's sizes, or the same question in minutes on two CPU cores."""

    FULL = "full"
    SMALL = "small"


@dataclass(frozen=True)
class Finding:
    """A statement of the paper, and what was measured about it.

    `source` is where the paper makes it, such as "section 4.2" or "figure 9"; `numbers` are what
    the verdict follows from, by names with their units; `n` counts the runs or points behind them;
    `note` says in a sentence what a reader must know besides, such as the reason of a missing
    measurement.
    """

    statement: str
    source: str
    verdict: Verdict
    numbers: Mapping[str, float | int | str]
    n: int
    note: str = ""


@dataclass(frozen=True)
class Job:
    """What a study is asked to do.

    It writes into `folder`, which may hold what an interrupted call left: finished parts are read,
    not done again. `settings` are those of `kfac-run` that the user gave, after the study's own.
    `say` shows one line of progress. `options` are the study's own that were given, as text; the
    registry says which it has.
    """

    folder: Path
    scale: Scale
    settings: Sequence[str]
    say: Callable[[str], None]
    options: Mapping[str, str] = field(default_factory=dict)


Study = Callable[[Job], list[Finding]]
"""One experiment of the paper: writes figures and tables (PNG, SVG, CSV) into the job's folder.

Returns the findings. Raises UserError for what the user can change.
"""
