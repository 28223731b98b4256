"""The README's picture: training error against optimizer seconds, K-FAC and tuned baselines."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kfac_cli.report.draw_matplotlib import drawn
from kfac_cli.report.figures import Figure, Line, Panel, Style, styles

if TYPE_CHECKING:
    from benchmarks.results import Curve

NAMES = {
    "tridiagonal": "K-FAC, block-tridiagonal",
    "diagonal": "K-FAC, block-diagonal",
    "nesterov": "Nesterov SGD",
    "adam": "Adam",
    "muon": "Muon",
}
AXIS = "optimizer seconds"


def drawn_comparison(
    panels: "Mapping[str, Sequence[Curve]]", methods: Sequence[str]
) -> Iterator[tuple[str, bytes]]:
    """File names and contents, PNG and SVG."""
    looks = styles(list(methods))
    figure = Figure(
        "comparison",
        "training error",
        tuple(
            Panel(
                title,
                title,
                {AXIS: tuple(_lines(runs, methods, looks))},
                x_log=True,
                y_log=True,
                x_label=AXIS,
            )
            for title, runs in panels.items()
        ),
        legend=tuple((NAMES[method], looks[method], "") for method in methods),
    )
    return drawn(figure)


def _lines(
    runs: "Sequence[Curve]", methods: Sequence[str], looks: Mapping[str, Style]
) -> Iterator[Line]:
    for method in methods:
        for run in runs:
            if run.method == method:
                x, y = np.array(run.seconds), np.array(run.errors)
                yield Line(NAMES[method], looks[method], x, y)
