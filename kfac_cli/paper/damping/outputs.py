"""Figure 7 and its values."""

from collections.abc import Sequence

import numpy as np

from kfac_cli.paper.damping.curves import curve
from kfac_cli.paper.damping.measure import INVERSES, MOMENTUM, RAW, RESCALED, Improvement
from kfac_cli.report.figures import COLORS, Figure, Line, Panel, Style
from kfac_cli.report.table import Table, number_cell, text_cell

BELOW, ABOVE = 0.35, 1.08
"""The y axis in units of the best improvement: down to -0.35, below which raw updates fall far."""

TITLES = {"block_tridiagonal": "block-tridiagonal", "block_diagonal": "block-diagonal"}
LABELS = {
    RAW: "raw: Δ",
    RESCALED: "re-scaled: αΔ",
    MOMENTUM: "with momentum: αΔ + μδ₀",
}


def damping_figure(points: Sequence[Improvement], title: str) -> Figure:
    """Improvement against γ: a panel for each inverse, a line for each kind of update."""
    panels = {inverse: _lines(points, inverse) for inverse in INVERSES}
    values = np.concatenate([line.y for lines in panels.values() for line in lines])
    best = max((float(value) for value in values if value > 0), default=1.0)
    return Figure(
        "figure-7",
        title,
        tuple(_panel(inverse, lines, best) for inverse, lines in panels.items()),
        legend=tuple((line.label, line.style, "") for line in panels[INVERSES[0]]),
    )


def _lines(points: Sequence[Improvement], inverse: str) -> list[Line]:
    lines = []
    for (update, label), color in zip(LABELS.items(), COLORS, strict=False):
        each = curve(points, inverse, update)
        improvements = np.array([point.improvement for point in each.points])
        lines.append(Line(label, Style(color), np.array(each.gammas), improvements))
    return lines


def _panel(inverse: str, lines: Sequence[Line], best: float) -> Panel:
    ends = lines[0].x[[0, -1]]
    zero = Line("no improvement", Style("#8a8a8a", "dot"), ends, np.zeros(2), kind="reference")
    return Panel(
        inverse,
        f"{TITLES[inverse]}: improvement h(θ) - h(θ + δ)",
        {"": (zero, *lines)},
        x_log=True,
        y_range=(-BELOW * best, ABOVE * best),
        x_label="damping γ of the approximate Fisher",
    )


def damping_table(points: Sequence[Improvement]) -> Table:
    """A row for each update."""
    columns = "inverse", "update", "gamma", "improvement", "predicted", "alpha", "mu"
    rows = tuple(
        (
            text_cell(point.inverse),
            text_cell(point.update),
            number_cell(point.gamma),
            number_cell(point.improvement),
            number_cell(point.predicted),
            number_cell(point.alpha),
            text_cell("") if point.mu is None else number_cell(point.mu),
        )
        for point in points
    )
    return Table("improvements", "Improvement of the objective by one update", columns, rows)
