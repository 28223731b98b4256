"""Objects as plain containers and back, for checkpoints: names, numbers and tensors."""

from collections.abc import Mapping
from typing import Any, TypeVar

Restored = TypeVar("Restored")


def attributes(instance: object) -> dict[str, Any]:
    """The attributes of `instance` and, as `type`, the name of its class."""
    return {**vars(instance), "type": type(instance).__name__}


def restored(state: Mapping[str, Any], *classes: type[Restored]) -> Restored:
    """An instance of that one of `classes` which `attributes` described; `__init__` is not run.

    Raises ValueError if it was none of them.
    """
    for candidate in classes:
        if candidate.__name__ == state["type"]:
            instance = candidate.__new__(candidate)
            vars(instance).update({k: value for k, value in state.items() if k != "type"})
            return instance
    raise ValueError(
        f"a saved {state['type']} where one of {[c.__name__ for c in classes]} is expected"
    )
