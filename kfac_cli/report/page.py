"""report.html: one self-contained page, which opens from a file without a network."""

import math
import secrets
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from kfac_cli.report.contents import Contents
from kfac_cli.report.draw_plotly import figure_data
from kfac_cli.report.pictures import Picture
from kfac_cli.report.table import Cell

TEMPLATES = "templates"

MAX_ROWS = 40
"""The rest of a longer table is shown on demand."""


def page(contents: Contents, pictures: Sequence[tuple[str, str, Picture]]) -> str:
    """The page as text; everything that comes from the runs is escaped.

    `pictures` has a caption, how the run ended and the picture. Scripts have a nonce, so that none
    from elsewhere could run.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    folder = files("kfac_cli.report").joinpath(TEMPLATES)

    def text(name: str) -> str:
        return folder.joinpath(name).read_text(encoding="utf-8")

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["sort_key"] = sort_key
    variables: Mapping[str, Any] = {
        "nonce": secrets.token_urlsafe(16),
        "css": Markup(text("report.css")),
        "script": Markup(text("report.js")),
        "plotly": Markup(get_plotlyjs()),
        "title": contents.title,
        "headlines": contents.headlines,
        "summary": contents.summary,
        "complaints": contents.complaints,
        "looks": contents.looks,
        "parts": contents.parts,
        "runs": contents.runs,
        "limit": MAX_ROWS,
        "figures": [figure_data(figure) for figure in contents.figures],
        "pictures": pictures,
    }
    return environment.from_string(text("report.html.j2")).render(variables)


def sort_key(cell: Cell) -> str:
    """What report.js sorts by: a number that JavaScript reads, text, or nothing."""
    value = cell.value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return str(value)
