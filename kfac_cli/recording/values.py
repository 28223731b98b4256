"""What a display is told of a run: cells of a row as numbers, and numbers as readable text."""

import math
from collections.abc import Callable, Mapping
from typing import Any

Row = Mapping[str, object]
"""One row of a table: column name to value, a missing value being absent or None."""

SecondsLeft = Callable[[], float | None]
"""Estimates the seconds from now to the end of a run, None if it cannot.

That may take longer than everything else about an iteration: a display asks when it shows it.
"""


def as_number(value: object) -> float | None:
    """The cell as a float, which may be nan or infinite; None if it holds no number.

    Zero-dimensional tensors and numpy scalars count as numbers, booleans and strings do not.
    """
    scalar: Any = value.item() if hasattr(value, "item") else value
    if isinstance(scalar, bool) or not isinstance(scalar, int | float):
        return None
    return float(scalar)


def as_finite(value: object) -> float | None:
    """The cell as a finite float; None if it is missing, nan or infinite."""
    number = as_number(value)
    return number if number is not None and math.isfinite(number) else None


def iterations_done(row: Row) -> int:
    """The iteration that a row belongs to."""
    return int(as_finite(row.get("iteration")) or 0)


def significant(value: object, digits: int = 4) -> str:
    """Format a number with `digits` significant digits and trailing zeros; a dash if missing."""
    number = as_number(value)
    if number is None:
        return "-"
    if not math.isfinite(number):
        return str(number)
    number = number or 0.0  # a zero has no sign
    return format(number, f"#.{digits}g").rstrip(".")


def clock_time(seconds: float | None) -> str:
    """Format a duration in seconds as m:ss or h:mm:ss; -:-- if unknown."""
    if seconds is None or not math.isfinite(seconds):
        return "-:--"
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_duration(seconds: float) -> str:
    """Format a duration in seconds in its two largest units: 4.2 s, 3 min 41 s, 2 h 5 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    if seconds < 3599.5:
        return "{} min {} s".format(*divmod(round(seconds), 60))
    return "{} h {} min".format(*divmod(round(seconds / 60), 60))


def format_bytes(count: float) -> str:
    """Format a number of bytes in MB or GB (powers of ten)."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
