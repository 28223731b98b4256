"""The studies by name. Listing them imports no torch: a study's module loads it when it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from kfac_cli.errors import UserError, listed, shown
from kfac_cli.paper.study import Study


@dataclass(frozen=True)
class Entry:
    """Where a study is, about how long it takes at both scales, and the options that it has.

    `target` is MODULE:NAME of a `Study`. `small` is the time on two processor cores.
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


STUDIES: Mapping[str, Entry] = {
    "compare": Entry(
        "kfac_cli.paper.compare.study:STUDY",
        small="10 minutes",
        full="days; on a GPU hours",
        options=("problems", "methods", "seeds", "seconds", "jobs"),
    ),
}
"""A study is one line here; the others are to come."""


def find(name: str) -> Entry:
    """The study of that name. Raises UserError if there is none."""
    if name not in STUDIES:
        raise UserError(f"{shown(name)}: no such study; the studies are {listed(list(STUDIES))}")
    return STUDIES[name]


def listing() -> str:
    """A line for each study: name, figures, description, options and times."""
    lines = []
    for name, entry in STUDIES.items():
        study = entry.load()
        options = " ".join(f"{option}=" for option in entry.options)
        lines.append(
            f"{name:<11} {study.figures}: {study.description}. small: {entry.small}; "
            f"full: {entry.full}{f'; {options}' if options else ''}"
        )
    return "\n".join(lines) + "\n"
