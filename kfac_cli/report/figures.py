"""What a figure shows, without saying how: `draw_plotly` and `draw_matplotlib` do that.

A figure is a function from runs to these data.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kfac_cli.report.measures import Values

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222")
"""Okabe and Ito's colours, which colour-blind readers can distinguish; without yellow."""

DASHES = ("solid", "dash", "dot", "dashdot")

REFERENCE_COLORS = ("#8a8a8a", "#5c5c5c", "#b5b5b5")
REFERENCE_DASHES = ("dash", "dot", "dashdot")

MAX_LINES = 12
"""More groups than this are not drawn: those with the smallest errors are."""

MAX_POINTS = 400
"""Of a longer line so many points are drawn."""


@dataclass(frozen=True)
class Style:
    """The looks of a group in all figures."""

    color: str
    dash: str = "solid"


@dataclass(frozen=True)
class Line:
    """A line of points (n,), with a band from `low` to `high` unless they are None.

    `kind` is points for values that are not to be joined.
    """

    label: str
    style: Style
    x: Values
    y: Values
    low: Values | None = None
    high: Values | None = None
    kind: Literal["line", "points", "reference"] = "line"

    def at(self, places: NDArray[Any]) -> "Line":
        """The line with the points at these places, or where a mask is true."""
        low = None if self.low is None else self.low[places]
        high = None if self.high is None else self.high[places]
        return replace(self, x=self.x[places], y=self.y[places], low=low, high=high)

    def thinned(self) -> "Line":
        """The line with at most MAX_POINTS points, the first and the last among them."""
        if len(self.x) <= MAX_POINTS:
            return self
        return self.at(np.linspace(0, len(self.x) - 1, MAX_POINTS).round().astype(int))


@dataclass(frozen=True)
class Bar:
    """One part of each of several stacked bars: its label, and a length for each bar."""

    label: str
    color: str
    lengths: tuple[float, ...]


@dataclass(frozen=True)
class Panel:
    """A pair of axes. `lines` has those for each choice of the x axis, by its name.

    `y_range` is given where bands would make the lines too flat. Without lines it has stacked
    horizontal bars, named by `bar_names`.
    """

    name: str
    title: str
    lines: dict[str, tuple[Line, ...]] = field(default_factory=dict)
    x_log: bool = False
    y_log: bool = False
    y_range: tuple[float, float] | None = None
    x_label: str = ""
    bars: tuple[Bar, ...] = ()
    bar_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """Panels that share their x axis and their legend.

    `name` is that of its files. `axes` are the choices of the x axis, none if there is only one;
    `saved` are those that also become files, all of them if it is None.
    `legend` has label, style and a remark for each group, in order.
    """

    name: str
    title: str
    panels: tuple[Panel, ...]
    axes: tuple[str, ...] = ()
    saved: tuple[str, ...] | None = None
    legend: tuple[tuple[str, Style, str], ...] = ()
    note: str = ""

    @property
    def saved_axes(self) -> tuple[str, ...]:
        """The choices of the x axis that become files; one without a name if there is no choice."""
        return (self.saved if self.saved is not None else self.axes) or ("",)


def reference_style(place: int) -> Style:
    """The looks of a published curve: a grey and a dash, no two alike up to 9."""
    dashes = len(REFERENCE_DASHES)
    color = REFERENCE_COLORS[place // dashes % len(REFERENCE_COLORS)]
    return Style(color, REFERENCE_DASHES[place % dashes])


def top_of(lines: Sequence[Line]) -> float:
    """The largest finite value of all lines and bands, where an infinite band is cut off."""
    values = [line.y for line in lines] + [line.high for line in lines if line.high is not None]
    finite = [part[np.isfinite(part)] for part in values]
    return max((float(part.max()) for part in finite if len(part)), default=0.0)


def styles(labels: list[str]) -> dict[str, Style]:
    """A style for each label: no two alike up to 28."""
    return {
        label: Style(COLORS[place % len(COLORS)], DASHES[place // len(COLORS) % len(DASHES)])
        for place, label in enumerate(labels)
    }
