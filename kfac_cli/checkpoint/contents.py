"""What a checkpoint contains: a run at one iteration, and what must match when it is resumed."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from kfac_cli.checkpoint.tree import Tree
from kfac_cli.data.dataset import Fingerprint
from kfac_cli.engine.state_rules import Rules, count, record, refusal
from kfac_cli.errors import shown

FORMAT = 5
"""Version of the contents; raise it when older checkpoints can no longer be resumed."""


@dataclass(frozen=True)
class Contents:
    """A run after `iteration` iterations.

    `config` is what `flat_settings` gives, `environment` what `Session.environment` gives; `times`
    are those of its `History`, and `session` is the state of the `Session`.
    """

    iteration: int
    config: dict[str, Any]
    environment: dict[str, Any]
    data: Fingerprint
    times: dict[str, float]
    session: dict[str, Any]

    def tree(self) -> Tree:
        """All of it, for `write_tree`."""
        return {"format": FORMAT, **vars(self)}

    @classmethod
    def of(cls, tree: Tree) -> "Contents":
        """What `tree` returned, but for the values of the session, which the session checks.

        Raises ValueError for another version, StateError for values that no version has.
        """
        if not isinstance(tree, dict) or repr(tree.get("format")) != str(FORMAT):
            raise ValueError(f"its format is not {FORMAT}")
        record(RULES, _iteration_rule)(tree, "")
        return cls(**{field.name: tree[field.name] for field in fields(cls)})


def _plain(value: Any, name: str) -> None:
    """A dict of what settings are made of."""
    record({}, others=True)(value, name)
    for key, item in value.items():
        if not _is_plain(item):
            raise refusal(f"{name}.{shown(key)}", item, "made of numbers, words and lists")


def _is_plain(value: object, depth: int = 8) -> bool:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_is_plain(item, depth - 1) for item in inner)
    return value is None or isinstance(value, bool | int | float | str)


def _config(value: Any, name: str) -> None:
    _plain(value, name)
    record({"iterations": count(1)}, others=True)(value, name)


def _data(value: Any, name: str) -> None:
    _plain(value, name)
    record(dict.fromkeys(value, record({}, others=True)))(value, name)


RULES: Rules = {
    "format": count(FORMAT, FORMAT),
    "iteration": count(),
    "config": _config,
    "environment": _plain,
    "data": _data,
    "times": record({}, others=True),
    "session": record(
        {"earlier": count(), "optimizer": record({"iteration": count()}, others=True)}, others=True
    ),
}
"""What can be checked of a checkpoint before there is a session: the rest is left to it."""


def _iteration_rule(tree: Mapping[str, Any]) -> Rules:
    session = tree["session"]
    iteration = session["earlier"] + session["optimizer"]["iteration"]
    return {"iteration": count(iteration, iteration)}
