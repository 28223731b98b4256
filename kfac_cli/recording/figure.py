"""The figure of a run: its errors, its hyperparameters over time, and reconstructions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfac_cli.files import replace_bytes
from kfac_cli.recording.axes import GREY, INK, style_axes, use_log_scale
from kfac_cli.recording.metric import Metric
from kfac_cli.recording.metrics import on_panels
from kfac_cli.recording.pictures import pair_picture
from kfac_cli.recording.summary import best_evaluation
from kfac_cli.recording.values import Row, as_finite, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, LIGHT_BLUE, ORANGE = "#1f5a93", "#7fb2d9", "#d9772b"

PANELS = 3
"""Of the metrics that have a panel, the first that have values are drawn."""

DOTS_PER_INCH = 160

BANDS, BAND_COLUMNS = 3, 5

PAIRS_WIDTH, WIDTH, RUN_HEIGHT = 11.6, 7.6, 6.4
"""Inches of a figure with pairs of originals and reconstructions, and without; its height."""

PAIRS_PLACE = (0.655, 0.08, 0.335, 0.765)
"""Left, bottom, width and height of the pairs, as parts of the figure."""


def draw_run(
    path: str | Path,
    metrics: Sequence[Row],
    evaluations: Sequence[Row],
    originals: Any,
    reconstructions: Any,
    image_shape: tuple[int, int] | None,
    title: str,
    error_name: str = "reconstruction error",
) -> None:
    """Write `run_figure` as a PNG file, which is replaced atomically.

    Raises ValueError if the shapes do not match, OSError if the file cannot be written.
    """
    from matplotlib import style

    buffer = io.BytesIO()
    # Ignore a matplotlibrc: one in the current folder could start TeX.
    with style.context("default"):
        figure = run_figure(
            metrics, evaluations, originals, reconstructions, image_shape, title, error_name
        )
        figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    replace_bytes(Path(path), buffer.getvalue())


def run_figure(
    metrics: Sequence[Row],
    evaluations: Sequence[Row],
    originals: Any,
    reconstructions: Any,
    image_shape: tuple[int, int] | None,
    title: str,
    error_name: str = "reconstruction error",
) -> Figure:
    """Compose the figure of a run, without pyplot and its global state.

    `metrics` and `evaluations` are the rows of the two tables; values that cannot be drawn, such as
    nan, are omitted. `originals` and `reconstructions` are tensors (n, height * width), of which
    the first 15 pairs are shown; `image_shape` is (height, width) in pixels, None if cases are not
    images. Raises ValueError if the shapes do not match.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with_pairs = image_shape is not None and len(originals) > 0
    figure = Figure(figsize=(PAIRS_WIDTH if with_pairs else WIDTH, RUN_HEIGHT), facecolor="white")
    FigureCanvasAgg(figure)
    left, right = (0.065, 0.605) if with_pairs else (0.095, 0.975)
    figure.text(left, 0.945, title, size=15, weight="bold", color=INK, parse_math=False)
    figure.text(left, 0.905, _outcome(evaluations), fontsize=10.5, color=GREY)

    panels = [metric for metric in on_panels() if _panel_points(metrics, metric)[0]][:PANELS]
    grid = figure.add_gridspec(
        2, max(len(panels), 1), left=left, right=right, top=0.845, bottom=0.08
    )
    grid.set_height_ratios((3.1, 1))
    grid.update(hspace=0.34, wspace=0.36)
    _draw_errors(figure.add_subplot(grid[0, :]), metrics, evaluations, error_name)
    for index, metric in enumerate(panels):
        _draw_panel(figure.add_subplot(grid[1, index]), metrics, metric)
    if with_pairs and image_shape is not None:
        _draw_pairs(figure, originals, reconstructions, image_shape)
    return figure


def _outcome(evaluations: Sequence[Row]) -> str:
    """The best errors in one line."""
    best = best_evaluation(evaluations)
    if best["best_train_error"] is None:
        return "no finite training error was measured"
    text = f"best training error {significant(best['best_train_error'], 3)}"
    if best["best_test_error"] is not None:
        text += f", test error {significant(best['best_test_error'], 3)}"
    kind = "averaged parameters " if best["best_parameters"] == "average" else ""
    return f"{text} ({kind}at iteration {best['best_iteration']})"


def _draw_errors(
    axes: Axes, metrics: Sequence[Row], evaluations: Sequence[Row], error_name: str
) -> None:
    """Every error curve against the iteration, the error on a logarithmic axis."""
    style_axes(axes)
    axes.set_title(error_name, loc="left", fontsize=10, color=INK)
    axes.set_xlabel("iteration", fontsize=9, color=GREY)
    curves = (
        (metrics, "error", "mini-batch", {"color": "#b5b5b5", "linewidth": 0.9}),
        (
            evaluations,
            "train_error",
            "training",
            {"color": BLUE, "linewidth": 2.0, "marker": "o", "markersize": 3.5, "zorder": 3},
        ),
        (
            evaluations,
            "train_error_average",
            "training, averaged",
            {"color": LIGHT_BLUE, "linewidth": 2.0},
        ),
        (
            evaluations,
            "test_error",
            "test",
            {"color": ORANGE, "linewidth": 1.3, "linestyle": (0, (4, 2)), "zorder": 4},
        ),
    )
    drawn = False
    for rows, column, label, look in curves:
        iterations, values = _points(rows, column)
        if iterations:
            drawn = True
            if len(iterations) == 1:
                look = {**look, "marker": "o", "markersize": 4}
            axes.plot(iterations, values, label=label, **look)  # type: ignore[arg-type]
    if drawn:
        use_log_scale(axes)
        axes.legend(  # above the axes, where no curve can pass under it
            loc="lower right",
            bbox_to_anchor=(1.01, 0.985),
            ncols=len(curves),
            frameon=False,
            fontsize=9,
            labelcolor=INK,
            handlelength=1.8,
            columnspacing=1.3,
        )
    else:
        axes.text(0.5, 0.5, "no finite values", transform=axes.transAxes, ha="center", color=GREY)


def _panel_points(metrics: Sequence[Row], metric: Metric) -> tuple[list[float], list[float]]:
    return _points(metrics, metric.column, positive=metric.scale == "log")


def _draw_panel(axes: Axes, metrics: Sequence[Row], metric: Metric) -> None:
    """A small curve of one metric."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    style_axes(axes)
    axes.set_title(metric.title, loc="left", fontsize=9, color=INK)
    iterations, values = _panel_points(metrics, metric)
    marker = "o" if len(values) == 1 else None
    axes.plot(iterations, values, color=BLUE, linewidth=1.3, marker=marker, markersize=4)
    whole = metric.format == "count"
    if metric.scale == "log":
        use_log_scale(axes)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=whole, min_n_ticks=1 if whole else 2))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.4g}"))
    if whole:
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _draw_pairs(
    figure: Figure, originals: Any, reconstructions: Any, image_shape: tuple[int, int]
) -> None:
    """Bands of originals above their reconstructions, on the right of the figure."""
    shown = BANDS * BAND_COLUMNS
    picture = pair_picture(
        originals[:shown], reconstructions[:shown], image_shape, columns=BAND_COLUMNS
    )
    axes = figure.add_axes(PAIRS_PLACE)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_anchor("N")
    axes.set_axis_off()
    axes.set_title("originals above reconstructions", loc="left", fontsize=10, color=INK)


def _points(
    rows: Sequence[Row], column: str, positive: bool = True
) -> tuple[list[float], list[float]]:
    """Iterations and values of a column that can be drawn: finite, and positive if `positive`."""
    iterations, values = [], []
    for row in rows:
        iteration, value = as_finite(row.get("iteration")), as_finite(row.get(column))
        if iteration is not None and value is not None and (not positive or 1e-300 < value < 1e300):
            iterations.append(iteration)
            values.append(value)
    return iterations, values
