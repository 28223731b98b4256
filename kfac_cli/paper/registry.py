"""The studies by name. Listing them imports no torch: a study's module loads it when it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module

from kfac_cli.errors import UserError, listed, shown
from kfac_cli.paper.option_values import ALL
from kfac_cli.paper.study import Scale, Study


@dataclass(frozen=True)
class Entry:
    """A study: where it is, what it repeats, how long it takes at both scales, its options.

    `target` is MODULE:NAME of a `Study`, `figures` are the paper's figures or sections,
    `description` is one line for the list of studies. The times are those of docs/paper.md.
    """

    target: str
    figures: str
    description: str
    small: str
    full: str
    options: tuple[str, ...] = ()
    defaults: Mapping[Scale, Mapping[str, str]] = field(default_factory=dict)
    """Of those options that have one whatever the settings."""

    def load(self) -> Study:
        """The study."""
        module, _, name = self.target.partition(":")
        study: Study = getattr(import_module(module), name)
        return study


COMPARING = ("problems", "methods", "seeds", "seconds", "jobs")
COMPARED = {
    scale: {"problems": problems, "methods": ALL, "seeds": "0"}
    for scale, problems in ((Scale.SMALL, "curves"), (Scale.FULL, ALL))
}
ONE_SEED = {scale: {"seeds": "0"} for scale in Scale}

STUDIES: Mapping[str, Entry] = {
    "compare": Entry(
        "kfac_cli.paper.compare.work:run",
        "figures 10 and 11",
        "K-FAC, the tuned baseline, Adam, AdamW and Muon, by iterations and by seconds",
        small="19 minutes",
        full="a day",
        options=COMPARING,
        defaults=COMPARED,
    ),
    "batch-size": Entry(
        "kfac_cli.paper.batch_size.work:run",
        "figure 9",
        "progress per iteration and per case against the mini-batch size, four methods",
        small="8 minutes",
        full="4 hours",
        options=("sizes", "seeds", "jobs"),
        defaults=ONE_SEED,
    ),
    "options": Entry(
        "kfac_cli.paper.options.work:run",
        "sections 5, 6, 8, 13",
        "Tikhonov damping, π, γ, the empirical Fisher, τ₁ and τ₂, T₃, SGD with K-FAC's momentum",
        small="12 minutes",
        full="a day",
        options=COMPARING,
        defaults=COMPARED,
    ),
    "cost": Entry(
        "kfac_cli.paper.cost.work:run",
        "section 8",
        "C₁ … C₆, and the cost of an iteration by the formula and measured, beside SGD",
        small="a minute",
        full="an hour",
        options=("sizes",),
    ),
    "fisher": Entry(
        "kfac_cli.paper.fisher.work:run",
        "figures 2, 3, 5 and 6",
        "the exact Fisher of a small classifier, its approximations and their inverses",
        small="a minute",
        full="3 minutes",
    ),
    "damping": Entry(
        "kfac_cli.paper.damping.work:run",
        "figure 7",
        "improvement of the objective against γ for raw, re-scaled and momentum updates, at the "
        "point that run=FOLDER has reached",
        small="a minute",
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
    return "".join(
        f"{name:<11} {entry.figures:<22} small: {entry.small + ',':<12} full: {entry.full}; "
        f"{entry.description}\n"
        for name, entry in STUDIES.items()
    )
