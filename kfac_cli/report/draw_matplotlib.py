"""Figures as PNG and SVG files, for papers and slides."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kfac_cli.recording.axes import FAINT, GREY, INK, style_axes, use_log_scale
from kfac_cli.report.draw_plotly import BAND_OPACITY
from kfac_cli.report.figures import Figure, Line, Panel, top_of
from kfac_cli.report.table import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

DASHES: dict[str, Any] = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
DOTS_PER_INCH = 130

PANEL_WIDTH, PANEL_HEIGHT = 5.2, 3.0
"""Inches."""

LEGEND_COLUMNS = 3

PNG = {"pil_kwargs": {"compress_level": 3}}
"""Twice as fast as the default, and hardly larger."""

RC: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "kfac-report"}
"""Text in an SVG stays text, and the same figure gives the same file."""


def drawn(figure: Figure) -> Iterator[tuple[str, bytes]]:
    """File names and contents: PNG and SVG for each choice of the x axis."""
    from matplotlib import rc_context, style

    for axis in figure.saved_axes:
        name = f"{figure.name}-{axis.split()[-1]}" if axis else figure.name
        # Ignore a matplotlibrc: one in the current folder could start TeX. Names from elsewhere may
        # have characters that the font lacks.
        with style.context("default"), rc_context(RC), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            canvas = _canvas(figure, axis)
            for form in ("png", "svg"):
                buffer = io.BytesIO()
                more: Any = {"metadata": {"Date": None}} if form == "svg" else PNG
                canvas.savefig(buffer, format=form, dpi=DOTS_PER_INCH, **more)
                yield f"{name}.{form}", buffer.getvalue()


def _canvas(figure: Figure, axis: str) -> Canvas:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    columns = min(2, len(figure.panels))
    rows = -(-len(figure.panels) // columns)
    bars = max(len(panel.bar_names) for panel in figure.panels)
    left, row = (2.4, 0.9 + 0.35 * bars) if bars else (0.75, PANEL_HEIGHT)
    below = 0.28 * -(-len(figure.legend) // LEGEND_COLUMNS) + 0.1 if figure.legend else 0.0
    width, height = PANEL_WIDTH * columns + left - 0.75, rows * row + below
    canvas = Canvas(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(canvas)
    each = (width - (left + 0.15) * columns) / columns
    for index, panel in enumerate(figure.panels):
        place = (
            left + index % columns * (each + left + 0.15),
            height - (index // columns + 1) * row + 0.5,
            each,
            row - 0.85,
        )
        box = (place[0] / width, place[1] / height, place[2] / width, place[3] / height)
        _draw_panel(canvas.add_axes(box), panel, axis)
    if figure.legend:
        _draw_legend(canvas, figure)
    return canvas


def _draw_panel(axes: Axes, panel: Panel, axis: str) -> None:
    style_axes(axes)
    axes.set_title(shortened(panel.title, 60), loc="left", fontsize=10, color=INK, parse_math=False)
    label = panel.x_label or axis
    axes.set_xlabel(shortened(label, 60), fontsize=9, color=GREY, parse_math=False)
    if panel.bars:
        axes.grid(False, axis="y")
        axes.grid(True, axis="x", color=FAINT, linewidth=0.6)
        _draw_bars(axes, panel)
        return
    lines = panel.lines[axis] if axis else next(iter(panel.lines.values()))
    for line in lines:
        _draw_line(axes, line, top_of(lines))
    if panel.y_range is not None:
        axes.set_ylim(*panel.y_range)
    if panel.x_log and any(len(line.x) for line in lines):
        use_log_scale(axes, "x")
    if panel.y_log and any(len(line.y) for line in lines):
        use_log_scale(axes)
        axes.yaxis.set_major_formatter("{x:g}")


def _draw_line(axes: Axes, line: Line, top: float) -> None:
    color, dash = line.style.color, DASHES[line.style.dash]
    if line.kind == "points" or len(line.x) == 1:
        axes.plot(line.x, line.y, "o", color=color, markersize=5, alpha=0.75, mew=0)
    else:
        width = 1.2 if line.kind == "reference" else 1.7
        axes.plot(line.x, line.y, dash, color=color, linewidth=width)
    if line.low is not None and line.high is not None:
        high = np.minimum(line.high, top)
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
        handles, labels, loc="lower center", ncols=LEGEND_COLUMNS, frameon=False, fontsize=9
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
        text.set_color(INK)
