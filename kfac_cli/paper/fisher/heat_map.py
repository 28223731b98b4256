"""Matrices as shades of grey, with the boundaries of their blocks."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from kfac_cli.recording.axes import GREY, INK
from kfac_cli.report.draw_matplotlib import DOTS_PER_INCH, RC

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHADES = "gray_r"
"""Dark is large; the paper's figures have it the other way round."""

PIXELS = 900
"""A larger matrix is drawn by the means of square groups of entries."""

WIDTH, HEIGHT, HEADER = 5.0, 4.75, 0.45
"""Inches of a panel with its labels and its scale, and of the title above all."""

LEFT, BELOW, SIDE = 0.6, 0.55, 3.7
"""Inches of a panel's labels on the left and below, and of the square itself."""


@dataclass(frozen=True)
class Panel:
    """The absolute entries of a matrix, up to `top`, from which on they are black.

    With `numbers` the entries are written into their cells.
    """

    title: str
    matrix: Tensor
    top: float
    numbers: bool = False


@dataclass(frozen=True)
class HeatMap:
    """Rows of panels; `name` is that of the files.

    `sizes` are those of the blocks, `labels` their names, `axis` what these number.
    """

    name: str
    title: str
    rows: tuple[tuple[Panel, ...], ...]
    sizes: tuple[int, ...]
    labels: tuple[str, ...]
    axis: str


def top_of(matrix: Tensor, part: float) -> float:
    """The size that this part of the absolute entries of a matrix does not exceed."""
    values = matrix.abs().flatten()
    return float(values.kthvalue(max(1, int(part * len(values)))).values)


def same_scale(part: float, *panels: tuple[str, Tensor]) -> tuple[Panel, ...]:
    """Panels whose scale ends where all but a part of the entries of the first matrix are."""
    top = top_of(panels[0][1], part)
    return tuple(panel(title, matrix, top) for title, matrix in panels)


def panel(title: str, matrix: Tensor, top: float) -> Panel:
    """A panel whose title says how large the entries are."""
    return Panel(f"{title}, mean {float(matrix.abs().mean()):.3g}", matrix, top)


def drawn(picture: HeatMap) -> Iterator[tuple[str, bytes]]:
    """File names and contents: PNG and SVG."""
    from matplotlib import rc_context, style

    with style.context("default"), rc_context(RC):
        figure = _figure(picture)
        for form in ("png", "svg"):
            buffer = io.BytesIO()
            more: Any = {"metadata": {"Date": None}} if form == "svg" else {}
            figure.savefig(buffer, format=form, dpi=DOTS_PER_INCH, **more)
            yield f"{picture.name}.{form}", buffer.getvalue()


def _figure(picture: HeatMap) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = len(picture.rows), len(picture.rows[0])
    width, height = columns * WIDTH, HEADER + rows * HEIGHT
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.2 / width, 1 - 0.35 / height, picture.title, size=13, weight="bold", color=INK)
    for i, panels in enumerate(picture.rows):
        for j, each in enumerate(panels):
            x, y = j * WIDTH + LEFT, (rows - 1 - i) * HEIGHT + BELOW
            axes = figure.add_axes((x / width, y / height, SIDE / width, SIDE / height))
            scale = ((x + SIDE + 0.1) / width, y / height, 0.12 / width, SIDE / height)
            _draw(axes, figure.add_axes(scale), each, picture)
    return figure


def _draw(axes: Axes, scale: Axes, panel: Panel, picture: HeatMap) -> None:
    from matplotlib.colorbar import Colorbar
    from matplotlib.ticker import ScalarFormatter

    values = panel.matrix.abs()
    sizes = (1,) * len(picture.sizes) if panel.numbers else picture.sizes
    extent = (0, sum(sizes), sum(sizes), 0)
    image = axes.imshow(
        _reduced(values).numpy(), cmap=SHADES, vmin=0, vmax=panel.top, extent=extent
    )
    axes.set_title(panel.title, fontsize=11, color=INK)
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    middles = [start + size / 2 for start, size in zip(starts, sizes, strict=True)]
    axes.set_xticks(middles, picture.labels)
    axes.set_yticks(middles, picture.labels)
    axes.tick_params(length=0, labelsize=10, colors=GREY)
    axes.set_xlabel(picture.axis, fontsize=9.5, color=GREY)
    axes.set_ylabel(picture.axis, fontsize=9.5, color=GREY)
    for start in starts[1:]:
        axes.axhline(start, color="#d55e00", linewidth=0.9, linestyle="--")
        axes.axvline(start, color="#d55e00", linewidth=0.9, linestyle="--")
    if panel.numbers:
        _write_numbers(axes, values, panel.top)
    numbers = ScalarFormatter()
    numbers.set_powerlimits((-2, 3))
    Colorbar(scale, image, format=numbers)
    scale.tick_params(labelsize=8.5, colors=GREY)


def _write_numbers(axes: Axes, values: Tensor, top: float) -> None:
    for i, row in enumerate(values.tolist()):
        for j, value in enumerate(row):
            color = "white" if value > 0.6 * top else INK
            axes.text(j + 0.5, i + 0.5, f"{value:.3g}", ha="center", va="center", color=color)


def _reduced(values: Tensor) -> Tensor:
    """The means of square groups of entries, of at most `PIXELS` rows."""
    group = -(-len(values) // PIXELS)
    if group == 1:
        return values
    return torch.nn.functional.avg_pool2d(values[None, None], group, ceil_mode=True)[0, 0]


def block_sizes(where: Sequence[slice]) -> tuple[int, ...]:
    """The sizes of blocks."""
    return tuple(block.stop - block.start for block in where)
