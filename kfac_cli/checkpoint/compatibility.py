"""What must be the same when a run is resumed, or when another one starts from its state.

Importing this needs no torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kfac_cli.config.device_kind import device_kind
from kfac_cli.config.resuming import MAY_CHANGE
from kfac_cli.config.schema import RunConfig, flat_settings
from kfac_cli.errors import UserError, shown

if TYPE_CHECKING:
    from kfac_cli.checkpoint.contents import Contents
    from kfac_cli.data.dataset import Dataset, Fingerprint

NETWORK = ("dataset.name", "dataset.layer_sizes", "dataset.activations", "dataset.output")
"""The settings that must be those of the run that another one starts from."""

DECIDES_ROUNDING = (
    "kfac-run",
    "torch",
    "cuda",
    "device_name",
    "thread_count",
    "matmul",
    "chunk_size",
    "processes",
)
"""The entries of a checkpoint's environment that can change the last bits of a result.

So can the kind of device.
"""


def changed_settings(before: Mapping[str, Any], config: RunConfig) -> dict[str, str]:
    """The settings whose values differ from `before`: dotted name to "name=new (was old)".

    An argument of torch's optimizer may be set in one of them only.
    """
    now = flat_settings(config)
    return {
        name: f"{name}={_shown(now, name)} (was {_shown(before, name)})"
        for name in {**now, **before}
        if _shown(now, name) != _shown(before, name) or now.get(name) != before.get(name)
    }


def _shown(settings: Mapping[str, Any], name: str) -> str:
    return shown(settings[name]) if name in settings else "not set"


def check_settings(before: Mapping[str, Any], config: RunConfig) -> None:
    """Raise UserError, naming the settings, if some differ from `before` that must not."""
    changed = changed_settings(before, config)
    wrong = [text for name, text in changed.items() if name not in MAY_CHANGE]
    if wrong:
        raise UserError(
            f"{', '.join(wrong)}: a resumed run keeps its settings; only these may change: "
            f"{', '.join(MAY_CHANGE)}"
        )


def check_data(saved: Fingerprint, dataset: Dataset) -> None:
    """Raise UserError, saying what differs, if the data are not those of the saved run."""
    if (difference := data_difference(saved, dataset)) is not None:
        raise UserError(
            f"dataset.name={dataset.name}: not the data that the run started with: {difference}; "
            "a resumed run needs the same data"
        )


def data_difference(saved: Fingerprint, dataset: Dataset, *, rounded: bool = False) -> str | None:
    """How the data differ from those of the saved run; None if they are the same.

    If `rounded`, data that are the same when rounded to float32 are the same.
    """
    for name, now in dataset.fingerprint.items():
        before = saved.get(name)
        if before == now or (rounded and before is not None and _single(before) == _single(now)):
            continue
        shape = None if before is None else before.get("shape")
        if shape != now["shape"]:
            return f"{name} has the shape {now['shape']} instead of {shape}"
        return f"{name} has the same shape, but other values"
    return None


def _single(entry: Mapping[str, Any]) -> tuple[Any, Any]:
    """Shape and checksum of a tensor rounded to float32."""
    return entry.get("shape"), entry.get("sha256_float32", entry.get("sha256"))


def differing_networks(before: Mapping[str, Any], config: RunConfig) -> list[tuple[str, str]]:
    """The settings in NETWORK that differ: "name=now" and "name=before".

    Raises LookupError if `before` has no such setting.
    """
    now = flat_settings(config)
    return [
        (f"{name}={shown(now[name])}", f"{name}={shown(before[name])}")
        for name in NETWORK
        if before[name] != now[name]
    ]


def differing_datasets(before: Mapping[str, Any], config: RunConfig) -> list[str]:
    """The settings of the dataset that differ, as "name=before"."""
    changed = changed_settings(before, config)
    return [f"{name}={_shown(before, name)}" for name in changed if name.startswith("dataset.")]


def differing_states(before: Mapping[str, Any], config: RunConfig) -> list[str]:
    """The settings that keep an optimizer from taking over the state of another, as "name=before".

    Empty if the states have the same structure: the kinds are the same, and so are the options in
    STRUCTURE. Numbers decide by being zero or not. Raises LookupError as `differing_networks` does.
    """
    now, kind = flat_settings(config), "optimizer.kind"
    if before[kind] != now[kind]:
        return [f"{kind}={shown(before[kind])}"]
    names = [f"optimizer.{name}" for name in config.optimizer.STRUCTURE]
    return [
        f"{name}={shown(_given(before, name))}"
        for name in names
        if _decides(_given(before, name)) != _decides(_given(now, name))
    ]


def _given(settings: Mapping[str, Any], name: str) -> object:
    """The value of a setting; of an argument of torch's that is not set, torch's default."""
    group, _, argument = name.rpartition(".")
    if name in settings or group != "optimizer.arguments":
        return settings.get(name)
    import torch

    algorithm = getattr(torch.optim, str(settings.get("optimizer.algorithm")), None)
    known = {} if algorithm is None else inspect.signature(algorithm).parameters
    return known[argument].default if argument in known else None


def _decides(value: object) -> object:
    return value if isinstance(value, str) else bool(value)


def recorded_environment(saved: Contents) -> dict[str, Any]:
    """The environment of a checkpoint, with what older ones do not say."""
    older = {
        "matmul": "blas",
        "chunk_size": saved.config.get("chunk_size"),
        "processes": 1,
        "mixed_environment": False,
    }
    return older | saved.environment


def reasons_for_inexact_resume(
    saved: Contents, config: RunConfig, environment: Mapping[str, Any]
) -> list[str]:
    """Why the result may differ from that of an uninterrupted run; empty if it is bitwise equal."""
    before = recorded_environment(saved)
    reasons = [
        f"{name} is {environment.get(name)} and was {before.get(name)}"
        for name in DECIDES_ROUNDING
        if before.get(name) != environment.get(name)
    ]
    now, then = environment.get("device"), before.get("device")
    if device_kind(now) != device_kind(then):
        reasons.append(f"device is {now} and was {then}")
        if getattr(config.optimizer, "fisher", None) == "sampled":
            reasons.append("targets are sampled differently on a CPU and on a GPU")
    changed = changed_settings(saved.config, config)
    if "optimizer.activation_memory" in changed:
        reasons.append(changed["optimizer.activation_memory"])
    if "iterations" in changed:
        earlier = saved.session["earlier"]
        planned = saved.config["iterations"] - earlier, config.iterations - earlier
        if any(
            len({config.optimizer.planned_values(t, n) for n in planned}) > 1
            for t in range(saved.iteration - earlier)
        ):
            reasons.append(f"{changed['iterations']}, on which the steps done so far depend")
    return reasons
