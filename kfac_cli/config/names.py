"""The names of all settings, and the nearest of them to a mistyped one."""

import difflib
from collections.abc import Iterator

from kfac_cli.config.schema import RunConfig
from kfac_cli.config.structure import Section, members

GROUPS = ("dataset", "optimizer", "schedule", "experiment")


def setting_names() -> list[str]:
    """Every dotted setting of every choice of every group, without doubles."""
    return sorted(set(_names(RunConfig, "")))


def _names(kind: type, prefix: str) -> Iterator[str]:
    for name, member in members(kind).items():
        if isinstance(member, Section):
            for variant in member.variants.values():
                yield from _names(variant, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def suggestion(prefix: str, key: object) -> str:
    """What to add to "no such setting": the nearest known name, and where to find them all."""
    name = f"{prefix}{key}"
    known = setting_names() + ([] if "." in name else list(GROUPS))
    everything = "kfac-run --cfg job lists them all"
    if name in known:
        group = name.partition(".")[0]
        return f" with this choice of {group}; {everything}"
    bare = {full.rpartition(".")[2]: full for full in known}
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    near = near or [bare[hit] for hit in difflib.get_close_matches(name, bare, n=1, cutoff=0.7)]
    return f"; did you mean {near[0]}? {everything}" if near else f"; {everything}"
