"""Figures as data for plotly, which the page draws in the browser."""

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kfac_cli.report.figures import Figure, Line, Panel, top_of
from kfac_cli.report.measures import Values
from kfac_cli.report.table import shortened

BAND_OPACITY = 0.16


def figure_data(figure: Figure) -> dict[str, Any]:
    """A figure for report.js: its axes, and for each panel the traces of each axis."""
    return {
        "name": figure.name,
        "axes": list(figure.axes),
        "panels": [_panel(panel) for panel in figure.panels],
    }


def plain(text: str) -> str:
    """A text that plotly shows as it is: it would read tags in it."""
    return html.escape(text, quote=False)


def _panel(panel: Panel) -> dict[str, Any]:
    traces = {axis: _traces(lines) for axis, lines in panel.lines.items()}
    if panel.bars:
        traces = {"": _bar_traces(panel)}
    return {
        "name": panel.name,
        "traces": traces,
        "x_label": plain(panel.x_label),
        "x_log": panel.x_log,
        "y_log": panel.y_log,
        "y_range": panel.y_range,
        "bars": [plain(shortened(name)) for name in panel.bar_names],
    }


def _traces(lines: Sequence[Line]) -> list[dict[str, Any]]:
    top = top_of(lines)
    bands = [_band(line, top) for line in lines if line.low is not None]
    return [*bands, *(_line(line) for line in lines)]


def _line(line: Line) -> dict[str, Any]:
    looks: dict[str, Any] = {"line": {"color": line.style.color, "dash": line.style.dash}}
    mode = "lines"
    if line.kind == "points" or len(line.x) == 1:
        mode = "markers"
        looks = {"marker": {"color": line.style.color, "size": 8, "opacity": 0.75}}
    elif line.kind == "reference":
        looks["line"] |= {"width": 1.5}
    return {
        "type": "scatter",
        "name": plain(line.label),
        "group": line.label,
        "mode": mode,
        "x": _numbers(line.x),
        "y": _numbers(line.y),
        **looks,
    }


def _band(line: Line, top: float) -> dict[str, Any]:
    assert line.low is not None and line.high is not None
    high = np.minimum(line.high, top)
    return {
        "type": "scatter",
        "group": line.label,
        "mode": "lines",
        "x": _numbers(np.concatenate([line.x, line.x[::-1]])),
        "y": _numbers(np.concatenate([line.low, high[::-1]])),
        "fill": "toself",
        "fillcolor": translucent(line.style.color),
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _bar_traces(panel: Panel) -> list[dict[str, Any]]:
    """A trace for each part; bars go by their places, since shortened names may be alike."""
    return [
        {
            "type": "bar",
            "orientation": "h",
            "name": plain(bar.label),
            "group": bar.label,
            "x": _numbers(np.array(bar.lengths)),
            "y": list(range(len(panel.bar_names))),
            "hovertext": [plain(name) for name in panel.bar_names],
            "hoverinfo": "x+name+text",
            "marker": {"color": bar.color},
        }
        for bar in panel.bars
    ]


def translucent(color: str) -> str:
    """The color of a band."""
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{BAND_OPACITY})"


def _numbers(values: Values) -> list[float | None]:
    """Five digits, which are more than a screen shows."""
    return [float(f"{value:.5g}") if math.isfinite(value) else None for value in values.tolist()]
