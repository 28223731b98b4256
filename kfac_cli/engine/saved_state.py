"""Conversion of objects to plain containers and back, for checkpoints."""

from collections.abc import Mapping
from typing import Any, TypeVar

Restored = TypeVar("Restored")


def attributes(instance: object) -> dict[str, Any]:
    """The attributes of `instance` and, as `type`, the name of its class."""
    return {**vars(instance), "type": type(instance).__name__}


def restore(state: Mapping[str, Any], *classes: type[Restored]) -> Restored:
    """Recreate an instance of one of `classes` from its `attributes`, without running `__init__`.

    Raises ValueError if it was saved from another class.
    """
    for candidate in classes:
        if candidate.__name__ == state["type"]:
            instance = candidate.__new__(candidate)
            vars(instance).update({k: value for k, value in state.items() if k != "type"})
            return instance
    raise ValueError(
        f"a saved {state['type']} where one of {[c.__name__ for c in classes]} is expected"
    )
