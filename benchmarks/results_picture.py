"""The README's picture: training error against optimizer seconds, K-FAC and tuned baselines."""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.results_curves import Curve
from kfac_cli.paper.compare.methods import ADAM_ON_FEWER, BASELINE_ON_FEWER
from kfac_cli.paper.methods import FEWER_CASES
from kfac_cli.report.draw_matplotlib import drawn
from kfac_cli.report.figures import Figure, Line, Panel, Style, styles

NAMES = {
    "tridiagonal": "K-FAC, block-tridiagonal",
    "diagonal": "K-FAC, block-diagonal, T₃ = 20",
    "diagonal-default": "K-FAC, block-diagonal",
    "ekfac": "EKFAC",
    "nesterov": "Nesterov SGD",
    "adam": "Adam",
    "muon": "Muon",
    BASELINE_ON_FEWER: f"Nesterov SGD, m = {FEWER_CASES}",
    ADAM_ON_FEWER: f"Adam, m = {FEWER_CASES}",
}
AXIS = "optimizer seconds"


def drawn_comparison(
    panels: Mapping[str, Sequence[Curve]], methods: Sequence[str]
) -> Iterator[tuple[str, bytes]]:
    """File names and contents, PNG and SVG."""
    known = {run.method for runs in panels.values() for run in runs}
    drawn_methods = [method for method in methods if method in known]
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
        legend=tuple((NAMES[method], looks[method], "") for method in drawn_methods),
    )
    return drawn(figure)


def _lines(
    runs: Sequence[Curve], methods: Sequence[str], looks: Mapping[str, Style]
) -> Iterator[Line]:
    for method in methods:
        for run in runs:
            if run.method == method:
                yield Line(NAMES[method], looks[method], run.costs["seconds"], run.errors)
