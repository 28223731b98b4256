"""The names of all settings, and the nearest of them to a mistyped one."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from kfac_cli.config.schema import SHARED, RunConfig
from kfac_cli.engine.declaration import (
    declared_fields,
    is_mapping,
    is_number,
    sections,
    variants,
)
from kfac_cli.errors import listed

GROUPS = ("dataset", "preset", "optimizer", "schedule", "experiment")

CHOICES = {"kfac": "kfac_tridiag", "nesterov": "nesterov_sgd"}
"""The choice in conf/ that a kind of optimizer is described by; others are called as their kind."""

SYNONYMS = {
    "lr": "optimizer.learning_rate, or with torch's adam, adamw, sgd, muon optimizer.arguments.lr",
    "batch_size": "schedule.size, with schedule=fixed",
    "epochs": "iterations",
    "steps": "iterations",
    "weight_decay": "l2",
}
"""What other programs call a setting: the last part of a name, and what it is here."""


ARGUMENTS = {"learning_rate": "lr"}
"""What torch calls an option of the other optimizers."""


def setting_names() -> list[str]:
    """Every dotted setting of every choice of every group, without doubles."""
    return sorted({name for name, _ in _names(RunConfig, "") if not is_shared(name)})


def numeric_settings() -> set[str]:
    """The dotted settings that are a number or null in every choice of every group."""
    declared = list(_names(RunConfig, ""))
    return {name for name, _ in declared} - {name for name, hint in declared if not is_number(hint)}


def is_shared(name: str) -> bool:
    """Whether an option of the optimizer is set beside the section `optimizer`, not within."""
    return name.removeprefix("optimizer.") in SHARED and name.startswith("optimizer.")


def takes_names(name: str) -> bool:
    """Whether a setting is a mapping to which the user adds names, such as optimizer.arguments."""
    group, _, option = name.partition(".")
    kinds = sections(declared_fields(RunConfig).get(group))
    return any(is_mapping(declared_fields(kind).get(option)) for kind in kinds)


def _names(kind: type, prefix: str) -> Iterator[tuple[str, Any]]:
    """Every dotted setting with its declared type; once for each choice of a group that has it."""
    for name, hint in declared_fields(kind).items():
        inner = sections(hint)
        for section in inner:
            yield from _names(section, f"{prefix}{name}.")
        if not inner:
            yield f"{prefix}{name}", hint


def suggestion(name: str, optimizer: Mapping[str, Any] | None = None) -> str:
    """What to add to "no such setting": the nearest known name, and where to find them all.

    `optimizer` has the settings of the chosen one, None where several or none are known.
    """
    everything = "kfac-run --cfg job lists them all"
    known = setting_names()
    parent, _, leaf = name.rpartition(".")
    option = _option_of(optimizer, leaf) if optimizer and parent in ("", "optimizer") else None
    if option not in (None, name):
        return f"; did you mean {option}? {everything}"
    if name in known:
        group = name.partition(".")[0]
        having = _choices_with(name)
        other = f", but with {listed(having)}" if having else ""
        return f" with this choice of {group}{other}; {everything}"
    if parent in ("", *GROUPS) and leaf in SYNONYMS:
        return f"; did you mean {SYNONYMS[leaf]}? {everything}"
    anywhere = {full.rpartition(".")[2]: full for full in known} | {word: word for word in GROUPS}
    split = ((full.rpartition("."), full) for full in (*known, *GROUPS))
    beside = {end: full for (before, _, end), full in split if before == parent}
    for pool, cutoff in ((beside, 0.6), (anywhere, 0.75)):
        for near in difflib.get_close_matches(leaf, pool, n=1, cutoff=cutoff):
            return f"; did you mean {pool[near]}? {everything}"
    return f"; {everything}"


def _option_of(optimizer: Mapping[str, Any], word: str) -> str | None:
    """What an optimizer calls an option that other optimizers or programs call `word`, if it can.

    K-FAC, which chooses its step itself, has no rate unless re-scaling is off.
    An argument of torch's that is not there yet has a plus, with which it is added.
    """
    argument, arguments = ARGUMENTS.get(word, word), optimizer.get("arguments")
    if not isinstance(arguments, Mapping):
        has_rate = argument == "lr" and not optimizer.get("rescaling")
        return "optimizer.learning_rate" if has_rate else None
    if argument in arguments:
        return f"optimizer.arguments.{argument}"
    return "+optimizer.arguments.lr" if argument == "lr" else None


def _choices_with(name: str) -> list[str]:
    """The choices of a group that have a setting, as they are typed; one of each kind."""
    group, _, option = name.partition(".")
    kinds = variants(declared_fields(RunConfig).get(group))
    having = [word for word, kind in kinds if option.partition(".")[0] in declared_fields(kind)]
    return [f"{group}={CHOICES.get(word, word)}" for word in having]
