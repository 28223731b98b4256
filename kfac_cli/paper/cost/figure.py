"""The figure of the study: predicted beside measured iterations, by task."""

from collections.abc import Sequence
from itertools import groupby

from kfac_cli.paper.cost.comparison import Comparison
from kfac_cli.paper.cost.tasks import TASKS
from kfac_cli.report.figures import Bar, Figure, Panel, Style

COLORS = {
    **{1: "#0072b2", 2: "#56b4e9"},
    **{3: "#00664b", 4: "#4cc9a4"},
    **{5: "#d55e00", 6: "#e69f00"},
    **{7: "#cc79a7", 8: "#222222"},
}
"""Of the tasks; those that belong together have similar ones."""

REST, REST_COLOR = "not in the formula", "#b5b5b5"

Bars = dict[str, tuple[dict[int, float], float]]
"""The seconds of the tasks and of the rest, by the name of the bar."""


def cost_figure(compared: Sequence[Comparison]) -> Figure:
    """A panel for each size: SGD, and each inverse predicted and measured, in milliseconds."""
    panels = tuple(
        _panel(cases, list(of_size))
        for cases, of_size in groupby(compared, key=lambda each: each.cases)
    )
    legend = [(f"{task} {name}", Style(COLORS[task]), "") for task, name in TASKS.items()]
    return Figure(
        "cost",
        "cost of an average iteration",
        panels,
        legend=(*legend, (REST, Style(REST_COLOR), "")),
    )


def _panel(cases: int, compared: Sequence[Comparison]) -> Panel:
    sgd = compared[0].sgd
    bars: Bars = {"SGD, measured": (sgd.tasks, sgd.rest)}
    for each in sorted(compared, key=lambda each: each.inverse):
        bars[f"{each.inverse}, predicted"] = (each.predicted, 0.0)
        bars[f"{each.inverse}, measured"] = (each.measured.tasks, each.measured.rest)
    parts = [
        Bar(name, COLORS[task], tuple(1000 * tasks[task] for tasks, _ in bars.values()))
        for task, name in TASKS.items()
    ]
    rest = Bar(REST, REST_COLOR, tuple(1000 * rest for _, rest in bars.values()))
    return Panel(
        f"m-{cases}",
        f"m = {cases:,}",
        x_label="milliseconds of an average iteration",
        bars=(*parts, rest),
        bar_names=tuple(bars),
    )
