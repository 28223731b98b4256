"""What a checkpoint contains: a run at one iteration, and what must match when it is resumed."""

import json
from dataclasses import dataclass, fields
from typing import Any

from kfac_cli.checkpoint.tree import Tree
from kfac_cli.data.dataset import Fingerprint

FORMAT = 4
"""Version of the contents; raise it when older checkpoints can no longer be resumed."""


@dataclass(frozen=True)
class Contents:
    """A run after `iteration` iterations.

    `config` is what `flat_settings` gives, `environment` what `recording.environment` gives;
    `times` and `session` are the states of the `Recorder` and the `Session`.
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
        """What `tree` returned. Raises ValueError for anything else, such as an older version."""
        if not isinstance(tree, dict) or repr(tree.get("format")) != str(FORMAT):
            raise ValueError(f"its format is not {FORMAT}")
        values: dict[str, Any] = {field.name: tree.get(field.name) for field in fields(cls)}
        parts = (values[name] for name in values if name != "iteration")
        whole = isinstance(values["iteration"], int) and all(isinstance(p, dict) for p in parts)
        if not whole or not all(isinstance(s, float) for s in values["times"].values()):
            raise ValueError("parts of it are missing or have other types")
        try:
            json.dumps({name: values[name] for name in ("config", "environment", "data")})
        except TypeError as error:
            raise ValueError("parts of it have tensors where none belong") from error
        return cls(**values)
