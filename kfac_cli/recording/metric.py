"""What is known of one metric, besides its values."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Scale = Literal["linear", "log"]
Format = Literal["count", "number", "seconds", "word"]


class Terminal(NamedTuple):
    """How the terminal shows a metric: its place, the most important first, name and width."""

    place: int
    name: str
    width: int = 8


@dataclass(frozen=True)
class Metric:
    """A column of metrics.csv or evaluations.csv, what it means, and where else it is shown.

    `section` is that of the paper. `field` is the attribute of `StepRecord` that is the value.
    `tag` is TensorBoard's, where an error (`is_error`) is shown over the cases too. `panel` is its
    place among the picture's panels, of which the first three with values are drawn; `label`,
    `symbol` and `scale` are the panel's. `words` are the values of a metric whose format is "word".
    """

    column: str
    meaning: str
    section: str = ""
    symbol: str = ""
    label: str = ""
    scale: Scale = "linear"
    format: Format = "number"
    field: str = ""
    tag: str = ""
    is_error: bool = False
    terminal: Terminal | None = None
    panel: int | None = None
    words: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Label and symbol, which is left out if it is a Latin letter, as m."""
        return self.label if self.symbol.isascii() else f"{self.label} {self.symbol}"
