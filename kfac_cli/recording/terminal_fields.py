"""The values of a row as the terminal shows them."""

from kfac_cli.recording.metrics import EVALUATION_METRICS, ITERATION_METRICS, on_terminal
from kfac_cli.recording.values import Row, significant

ITERATION_FIELDS = on_terminal(ITERATION_METRICS)
EVALUATION_FIELDS = on_terminal(EVALUATION_METRICS)

GREEK = {
    field.name: metric.symbol for metric, field in ITERATION_FIELDS if not metric.symbol.isascii()
}
"""Name in the terminal to symbol, where that is a Greek letter."""


def iteration_values(row: Row) -> dict[str, str]:
    """Name and text of each value of metrics.csv that the terminal shows and the row has."""
    texts = {}
    for metric, field in ITERATION_FIELDS:
        value = row.get(metric.column)
        if value is not None:
            whole = metric.format in ("count", "word")
            texts[field.name] = str(value) if whole else significant(value)
    return texts
