"""The summary of a run: summary.json, and the text printed at the end."""

import json
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from kfac_cli.files import replace_bytes, shown_folder
from kfac_cli.recording.layout import WIDTH, described, wrapped
from kfac_cli.recording.values import Row, as_finite, format_bytes, format_duration, significant

SUMMARY_FILE = "summary.json"

ERROR_FILE = "error.log"
"""What a run that failed leaves: the traceback or the line of its error."""

# How a run can end, its `status`.
FINISHED = "finished"
TARGET_REACHED = "target reached"
TARGET_MISSED = "target not reached"
TIME_LIMIT_REACHED = "time limit reached"
DIVERGED = "diverged"
PRUNED = "pruned"
INTERRUPTED = "interrupted"
FAILED = "failed"

BEST = ("best_train_error", "best_iteration", "best_parameters", "best_test_error")
"""What the summary says of the best evaluation."""

FILE_DESCRIPTIONS = (
    ("*.png", "the whole run in one picture"),
    (SUMMARY_FILE, "best errors, how it ended, versions, machine"),
    ("metrics.csv", "a row per iteration: error, damping, time"),
    ("evaluations.csv", "errors on the whole training and test sets"),
    ("tensorboard", "the same and more, for TensorBoard"),
    ("config.yaml", "every setting of this run"),
    ("parameters*", "the best parameters, the last, their average"),
    ("checkpoint*", "what resuming the run needs"),
    ("run.log", "the log"),
    ("error*", "what went wrong"),
)
"""File name pattern and description, in the order of the list."""


def best_evaluation(evaluations: Iterable[Row]) -> dict[str, object]:
    """Pick the smallest training error of all evaluations, of the iterate or the Polyak average.

    Returns best_train_error, best_iteration, best_parameters ("iterate" or "average") and
    best_test_error, the test error of the same parameters; all None without a finite training
    error.
    """
    candidates = []
    for row in evaluations:
        for kind, suffix in (("iterate", ""), ("average", "_average")):
            error = as_finite(row.get(f"train_error{suffix}"))
            if error is not None:
                test_error = as_finite(row.get(f"test_error{suffix}"))
                candidates.append((error, row.get("iteration"), kind, test_error))
    best = min(candidates, key=lambda candidate: candidate[0], default=(None,) * 4)
    return dict(zip(BEST, best, strict=True))


def write_summary(folder: str | Path, summary: Mapping[str, object]) -> Path:
    """Write summary.json atomically, as standard JSON: nan and infinities become null.

    A character of a file's name that is not valid UTF-8 is written as its escape.

    Raises TypeError for a value that JSON cannot represent, OSError if the file cannot be written.
    """
    path = Path(folder) / SUMMARY_FILE
    text = json.dumps(_jsonable(summary), indent=2, ensure_ascii=False, allow_nan=False)
    replace_bytes(path, f"{text}\n".encode(errors="backslashreplace"))
    return path


def terminal_summary(summary: Mapping[str, object], folder: str | Path, width: int = WIDTH) -> str:
    """Describe in a few lines how a run ended, its best errors, and each file in its folder.

    `summary` has status and iterations; shown if present and finite are title, iterations_planned,
    seconds, optimizer_seconds, evaluation_seconds, logging_seconds, peak_memory (bytes), what
    `best_evaluation` returns, and target, of which error, reached, iteration and seconds are shown.
    """
    lines = [*wrapped(headline(summary), 2, width), ""]
    for name, text in _entries(summary):
        lines += wrapped(f"  {name:<15} {text}", 18, width)
    lines += ["", f"  {_short(folder)}"]
    files = _described_files(Path(folder))
    lines += described(files, 4, width)
    if any("TensorBoard" in text for _, text in files):
        lines += ["", f"  tensorboard --logdir {shlex.quote(_short(folder))}"]
    return "\n".join(lines)


def headline(summary: Mapping[str, object]) -> str:
    """Describe in a line how a run ended; `summary` is as for `terminal_summary`."""
    title = f"{summary['title']}: " if summary.get("title") else ""
    done, planned = summary.get("iterations"), summary.get("iterations_planned")
    of = f" of {planned}" if planned is not None and planned != done else ""
    seconds = as_finite(summary.get("seconds"))
    time = f" in {format_duration(seconds)}" if seconds is not None else ""
    noun = "iteration" if (planned if of else done) == 1 else "iterations"
    return f"{title}{summary.get('status')} after {done}{of} {noun}{time}"


def _entries(summary: Mapping[str, object]) -> list[tuple[str, str]]:
    entries = []
    error = as_finite(summary.get("best_train_error"))
    if error is None and summary["status"] == INTERRUPTED and "final_iteration" not in summary:
        entries.append(("training error", "not measured: interrupted before the first evaluation"))
    elif error is None:
        entries.append(("training error", "no finite value was measured"))
    else:
        by = ", of the averaged parameters" if summary.get("best_parameters") == "average" else ""
        where = f"best{by}, at iteration {summary.get('best_iteration')}"
        entries.append(("training error", f"{significant(error):<8} {where}"))
        test_error = as_finite(summary.get("best_test_error"))
        if test_error is not None:
            entries.append(("test error", f"{significant(test_error):<8} of the same parameters"))
    if target := _target(summary):
        entries.append(("target error", target))
    if summary.get("reason"):
        entries.append((str(summary.get("status")), str(summary["reason"])))
    shares = _time_shares(summary)
    if shares:
        entries.append(("time", shares))
    memory = as_finite(summary.get("peak_memory"))
    if memory is not None:
        entries.append(("peak memory", format_bytes(memory)))
    return entries


def _target(summary: Mapping[str, object]) -> str:
    """Whether and when the target error was reached; empty without one."""
    target = summary.get("target")
    if not isinstance(target, Mapping):
        return ""
    error = f"{target['error']:<8g}"
    if not target["reached"]:
        early = summary.get("iterations") != summary.get("iterations_planned")
        in_time = " within the time limit" if early and summary["status"] == TARGET_MISSED else ""
        return f"{error} not reached{in_time}"
    if target["iteration"] is None:  # the row of evaluations.csv was lost
        return f"{error} reached"
    time = format_duration(target["seconds"])
    return f"{error} reached at iteration {target['iteration']}, after {time}"


def _time_shares(summary: Mapping[str, object]) -> str:
    parts = {
        name: as_finite(summary.get(f"{name}_seconds"))
        for name in ("optimizer", "evaluation", "logging")
    }
    known = {name: seconds for name, seconds in parts.items() if seconds is not None}
    whole = max(as_finite(summary.get("seconds")) or 0.0, sum(known.values()))
    if not known or whole <= 0:
        return ""
    known["other"] = whole - sum(known.values())
    percents = {name: round(100 * seconds / whole) for name, seconds in known.items()}
    if percents["other"] == 0:
        del percents["other"]
    return ", ".join(f"{name} {percent} %" for name, percent in percents.items())


def _short(folder: str | Path) -> str:
    return str(shown_folder(Path(folder).absolute()))


def _described_files(folder: Path) -> list[tuple[str, str]]:
    """Name and description of everything in a folder, described files first."""
    if not folder.is_dir():
        return []
    ranked = []
    for path in folder.iterdir():
        patterns = [pattern for pattern, _ in FILE_DESCRIPTIONS]
        matches = [rank for rank, pattern in enumerate(patterns) if fnmatch(path.name, pattern)]
        rank = min(matches, default=len(patterns))
        text = FILE_DESCRIPTIONS[rank][1] if matches else ""
        name = path.name + ("/" if path.is_dir() else "")
        ranked.append((rank, name, text))
    return [(name, text) for _, name, text in sorted(ranked)]


def _jsonable(value: object) -> Any:
    """The value for JSON; numbers that are not finite become None."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Sequence):
        return [_jsonable(item) for item in value]
    scalar: Any = value.item() if hasattr(value, "item") else value
    if isinstance(scalar, float):
        return scalar if math.isfinite(scalar) else None
    if isinstance(scalar, bool | int):
        return scalar
    raise TypeError(f"a summary cannot hold {value!r}")
