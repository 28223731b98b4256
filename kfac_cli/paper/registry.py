"""The studies by name. Listing them imports no torch: a study's module loads it when it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from kfac_cli.errors import UserError, listed, shown
from kfac_cli.paper.study import Study


@dataclass(frozen=True)
class Entry:
    """Where a study is, about how long it takes at both scales, and the options that it has.

    `target` is MODULE:NAME of a `Study`. The times are those of docs/paper.md.
    """

    target: str
    small: str
    full: str
    options: tuple[str, ...] = ()

    def load(self) -> Study:
        """The study."""
        module, _, name = self.target.partition(":")
        study: Study = getattr(import_module(module), name)
        return study


COMPARING = ("problems", "methods", "seeds", "seconds", "jobs")

STUDIES: Mapping[str, Entry] = {
    "compare": Entry(
        "kfac_cli.paper.compare.study:STUDY",
        small="9 minutes",
        full="a day",
        options=COMPARING,
    ),
    "batch-size": Entry(
        "kfac_cli.paper.batch_size.study:STUDY",
        small="7 minutes",
        full="4 hours",
        options=("sizes", "seeds", "jobs"),
    ),
    "options": Entry(
        "kfac_cli.paper.options.study:STUDY",
        small="8 minutes",
        full="a day",
        options=COMPARING,
    ),
    "cost": Entry(
        "kfac_cli.paper.cost.study:STUDY",
        small="a minute",
        full="an hour",
        options=("sizes",),
    ),
    "fisher": Entry(
        "kfac_cli.paper.fisher.study:STUDY",
        small="a minute",
        full="6 minutes",
    ),
    "damping": Entry(
        "kfac_cli.paper.damping_study:STUDY",
        small="2 minutes",
        full="hours",
        options=("run",),
    ),
}


def find(name: str) -> Entry:
    """The study of that name. Raises UserError if there is none."""
    if name not in STUDIES:
        raise UserError(f"{shown(name)}: no such study; the studies are {listed(list(STUDIES))}")
    return STUDIES[name]


def listing() -> str:
    """A line for each study: its name, the paper's figures, times and description."""
    rows = [(name, entry, entry.load()) for name, entry in STUDIES.items()]
    return "".join(
        f"{name:<11} {study.figures:<22} small: {entry.small + ',':<12} full: {entry.full}; "
        f"{study.description}\n"
        for name, entry, study in rows
    )
