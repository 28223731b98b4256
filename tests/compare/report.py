"""What the comparison says: the runs and the command lines that do not come to the same."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .differences import differences, read_table
from .runs import REJECTIONS
from .tree import Answer

SHOWN = 300

Answers = Mapping[str, Sequence[Answer]]


def run_differences(folders: Mapping[str, Path], answers: Mapping[str, Answers]) -> Iterator[str]:
    """What differs between the runs of the trees "old" and "new", of which `folders` has them.

    A run that fails is reported even if it fails in both, and so is a run that shows no rejected
    step though it is there for that.
    """
    for name in answers["old"]:
        failures = [
            f"{name}: the {tree} run fails, {answer.code}: {_short(answer.err)}"
            for tree in ("old", "new")
            for answer in answers[tree][name]
            if answer.code != 0
        ]
        yield from failures
        if failures:
            continue
        old, new = (folders[tree] / name / "run" for tree in ("old", "new"))
        yield from (f"{name}: {line}" for line in differences(old, new))
        if name in REJECTIONS and not (_rejections(old) and _rejections(new)):
            yield f"{name}: no step was rejected, which is what this run is for"


def _rejections(run: Path) -> int:
    """The steps that were not taken; the column of an old tree may be called `rejected`."""
    outcomes = [row.get("outcome", row.get("rejected")) for row in read_table(run / "metrics.csv")]
    return sum(outcome in ("rejected", "reverted", "1") for outcome in outcomes)


@dataclass(frozen=True)
class Pair:
    """A command line and what it came to in both trees."""

    words: Sequence[str]
    old: Answer
    new: Answer

    def __str__(self) -> str:
        lines = [_short(" ".join(self.words))]
        for tree, answer in (("old", self.old), ("new", self.new)):
            lines.append(f"  {tree} {answer.code}: {_short(answer.err or answer.out)}")
        return "\n  ".join(lines)

    @property
    def other_code(self) -> bool:
        """Whether it fails, answers or starts a run in one tree only."""
        return self.old.code != self.new.code

    @property
    def other_message(self) -> bool:
        """Whether it ends alike and says something else."""
        return not self.other_code and self.old != self.new


def show(heading: str, found: Sequence[object]) -> None:
    """Print what was found below its heading; nothing if that is nothing."""
    if found:
        print(f"{heading} ({len(found)})", *(f"  {each}" for each in found), "", sep="\n")


def _short(text: str) -> str:
    """A text on one line that any terminal can print; its end, where the news is, if too long."""
    line = ascii(text.strip())[1:-1]
    return line if len(line) <= SHOWN else f"...{line[-SHOWN:]}"
