"""Figures as PNG and SVG files, for papers and slides."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kfac_cli.report.draw_plotly import BAND_OPACITY, shortened
from kfac_cli.report.figures import Figure, Line, Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

INK, GREY, FAINT = "#222222", "#5f5f5f", "#e2e2e2"
DASHES: dict[str, Any] = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
DOTS_PER_INCH = 130


def drawn(figure: Figure) -> Iterator[tuple[str, bytes]]:
    """File names and contents: PNG and SVG for each choice of the x axis."""
    from matplotlib import style

    for axis in figure.axes or ("",):
        name = f"{figure.name}-{axis.split()[-1]}" if axis else figure.name
        # Ignore a matplotlibrc: one in the current folder could start TeX. Names from elsewhere may
        # have characters that the font lacks.
        with style.context("default"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            canvas = _canvas(figure, axis)
            for form in ("png", "svg"):
                buffer = io.BytesIO()
                metadata = {"Date": None} if form == "svg" else None
                canvas.savefig(buffer, format=form, dpi=DOTS_PER_INCH, metadata=metadata)
                yield f"{name}.{form}", buffer.getvalue()


def _canvas(figure: Figure, axis: str) -> Canvas:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    columns = min(2, len(figure.panels))
    rows = -(-len(figure.panels) // columns)
    bars = max(len(panel.bar_names) for panel in figure.panels)
    height = 3.0 * rows if not bars else 1.0 + 0.4 * bars
    legend = len(figure.legend)
    below = 0.28 * -(-legend // 3) + 0.1 if legend else 0.0
    canvas = Canvas(figsize=(5.2 * columns + 0.3, height + below), facecolor="white")
    FigureCanvasAgg(canvas)
    canvas.set_layout_engine(
        "constrained", rect=(0, below / (height + below), 1, 1 - below / (height + below))
    )
    for index, panel in enumerate(figure.panels):
        _draw_panel(canvas.add_subplot(rows, columns, index + 1), panel, axis)
    if legend:
        _draw_legend(canvas, figure)
    return canvas


def _draw_panel(axes: Axes, panel: Panel, axis: str) -> None:
    axes.set_title(shortened(panel.title, 60), loc="left", fontsize=10, color=INK, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=GREY, labelsize=8.5, which="both")
    axes.grid(True, axis="x" if panel.bars else "y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    label = panel.x_label or axis
    axes.set_xlabel(shortened(label, 60), fontsize=9, color=GREY, parse_math=False)
    if panel.bars:
        _draw_bars(axes, panel)
        return
    if panel.x_log:
        axes.set_xscale("log")
    if panel.y_log:
        axes.set_yscale("log")
    lines = panel.lines[axis] if axis else next(iter(panel.lines.values()))
    for line in lines:
        _draw_line(axes, line, lines)


def _draw_line(axes: Axes, line: Line, lines: tuple[Line, ...]) -> None:
    color, dash = line.style.color, DASHES[line.style.dash]
    if line.kind == "points" or len(line.x) == 1:
        axes.plot(line.x, line.y, "o", color=color, markersize=5, alpha=0.75, mew=0)
    else:
        width = 1.2 if line.kind == "reference" else 1.7
        axes.plot(line.x, line.y, dash, color=color, linewidth=width)
    if line.low is not None and line.high is not None:
        highest = max(float(other.y.max()) for other in lines if len(other.y))
        high = np.minimum(line.high, highest)
        axes.fill_between(line.x, line.low, high, color=color, alpha=BAND_OPACITY, linewidth=0)


def _draw_bars(axes: Axes, panel: Panel) -> None:
    places = np.arange(len(panel.bar_names))
    left = np.zeros(len(places))
    for bar in panel.bars:
        axes.barh(places, bar.lengths, left=left, color=bar.color, height=0.7)
        left += bar.lengths
    axes.set_yticks(places, [shortened(name) for name in panel.bar_names], parse_math=False)
    axes.invert_yaxis()


def _draw_legend(canvas: Canvas, figure: Figure) -> None:
    from matplotlib.lines import Line2D

    solid = bool(figure.panels[0].bars)
    handles = [
        Line2D([], [], color=style.color, linestyle=DASHES[style.dash], linewidth=6 if solid else 2)
        for _, style, _ in figure.legend
    ]
    # A leading underscore would hide an entry.
    labels = [f"\u200a{shortened(label, 48)}" for label, _, _ in figure.legend]
    legend = canvas.legend(
        handles, labels, loc="lower center", ncols=min(3, len(labels)), frameon=False, fontsize=9
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
        text.set_color(INK)
