"""The looks of axes in pictures."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, GREY, FAINT = "#222222", "#6b6b6b", "#dddddd"


def use_log_scale(axes: Axes, which: Literal["x", "y"] = "y") -> None:
    """Make an axis logarithmic, with numbers at its ticks whatever its range.

    Over six decades and more these are powers of ten, otherwise plain numbers.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    axis = axes.yaxis if which == "y" else axes.xaxis
    if which == "y":
        axes.set_yscale("log")
        low, high = axes.get_ylim()
    else:
        axes.set_xscale("log")
        low, high = axes.get_xlim()
    decades = math.log10(high) - math.log10(low)
    if decades < 6:
        if decades < 1:
            axis.set_major_locator(MaxNLocator(5))
        else:
            steps = (1.0,) if decades > 2.5 else (1.0, 2.0, 5.0)
            axis.set_major_locator(LogLocator(subs=steps))
        axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axis.set_minor_formatter(NullFormatter())


def _short(value: float) -> str:
    """A number at a tick: 0.02, 150, 2e-7."""
    return re.sub(r"e([+-])0+", r"e\1", f"{value:g}").replace("e+", "e")


def style_axes(axes: Axes) -> None:
    """Two spines, small grey ticks and a grid of horizontal lines."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=GREY, labelsize=8.5, which="both")
    axes.tick_params(which="minor", length=0)
    axes.grid(True, axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
