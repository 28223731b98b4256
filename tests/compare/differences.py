"""Where the results of an old and a new run differ. Pure functions of files."""

import csv
from collections.abc import Iterator
from pathlib import Path

import torch

RENAMED_COLUMNS = {"rejected": "outcome"}
"""Columns of the tables that are called otherwise now: {"old": "new"}."""

FORMER_VALUES = {"outcome": {"accepted": "", "rejected": "1", "reverted": "1"}}
"""What the old tree wrote in a renamed column for a value that the new tree writes."""

ADDED_COLUMNS = {"metrics.csv": {"model_change"}, "evaluations.csv": {"cases"}}
"""Columns that an old tree may lack."""

TIME_COLUMNS = {"seconds", "optimizer_seconds", "evaluation_seconds", "logging_seconds"}

Row = dict[str, str]


def differences(old: Path, new: Path) -> list[str]:
    """What differs between two run folders, a line for each file or tensor; times do not count."""
    found = []
    for name, compare in FILES.items():
        missing = [tree for tree, folder in (("old", old), ("new", new)) if not _has(folder, name)]
        if missing:
            found.append(f"{name}: missing from the {' and the '.join(missing)} run")
        else:
            found += [f"{name}: {line}" for line in compare(old / name, new / name)]
    return found


def _has(folder: Path, name: str) -> bool:
    return (folder / name).is_file()


def read_table(path: Path) -> list[Row]:
    """The rows of a CSV file as texts, without times."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in rows]


def table_differences(old_path: Path, new_path: Path) -> Iterator[str]:
    """Columns that only one table has, then the first value that differs in the others.

    Values are compared as texts, which are exact: Python's shortest ones that give the same number.
    """
    old, new = read_table(old_path), read_table(new_path)
    new = [_as_before(row, list(old[0])) for row in new] if old else new
    old = [{RENAMED_COLUMNS.get(name, name): text for name, text in row.items()} for row in old]
    old_names, new_names = (list(rows[0]) if rows else [] for rows in (old, new))
    added = ADDED_COLUMNS.get(new_path.name, set())
    for tree, names, others in (
        ("old", old_names, new_names),
        ("new", [name for name in new_names if name not in added], old_names),
    ):
        if only := [name for name in names if name not in others]:
            yield f"only the {tree} table has the column {', '.join(only)}"
    if len(old) != len(new):
        yield f"{len(old)} rows became {len(new)}"
    common = [name for name in old_names if name in new_names]
    places = [
        f"row {number}, {name}: {a[name]!r} became {b[name]!r}"
        for number, (a, b) in enumerate(zip(old, new, strict=False), 1)
        for name in common
        if a[name] != b[name]
    ]
    if places:
        more = f" (the first of {len(places)} values)" if len(places) > 1 else ""
        yield places[0] + more


def _as_before(row: Row, old_names: list[str]) -> Row:
    """A new row with the values that the old tree wrote in the columns that it called otherwise."""
    former = {
        RENAMED_COLUMNS[name]: FORMER_VALUES.get(RENAMED_COLUMNS[name], {})
        for name in old_names
        if name in RENAMED_COLUMNS
    }
    return {name: former.get(name, {}).get(text, text) for name, text in row.items()}


def tensor_differences(old_path: Path, new_path: Path) -> Iterator[str]:
    """Tensors that differ in any bit, a line for each."""
    old, new = read_tensors(old_path), read_tensors(new_path)
    for name in sorted(old.keys() | new.keys()):
        if name not in old or name not in new:
            yield f"{name}: only in the {'old' if name in old else 'new'} file"
    for name in (name for name in old if name in new):
        if line := _tensor_difference(old[name], new[name]):
            yield f"{name}: {line}"


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The parameters and their averages, by name."""
    contents = torch.load(path, weights_only=True)
    return {
        f"{kind}[{number}]": tensor
        for kind in ("parameters", "average")
        for number, tensor in enumerate(contents[kind])
    }


def _tensor_difference(old: torch.Tensor, new: torch.Tensor) -> str | None:
    if old.dtype != new.dtype:
        return f"dtype {old.dtype} became {new.dtype}"
    if old.shape != new.shape:
        return f"shape {tuple(old.shape)} became {tuple(new.shape)}"
    if old.numpy().tobytes() == new.numpy().tobytes():  # equal bits, so NaN equals NaN
        return None
    differs = (old != new) & ~(old.isnan() & new.isnan())
    if not differs.any():
        return "differs in the sign of a zero or the bits of a NaN only"
    largest = (old.double() - new.double())[differs].abs().max().item()
    return f"largest difference {largest:.3g}, in {int(differs.sum())} of {old.numel()} values"


FILES = {
    "metrics.csv": table_differences,
    "evaluations.csv": table_differences,
    "parameters.pt": tensor_differences,
}
