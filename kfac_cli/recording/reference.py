"""docs/metrics.md: every metric of a run, where it is shown and what it means.

`python -m kfac_cli.recording.reference` prints it, from the entries in metrics.py.
"""

from collections.abc import Sequence

from kfac_cli.recording.metric import Metric
from kfac_cli.recording.metrics import EVALUATION_METRICS, ITERATION_METRICS

HEADING = """\
# Metrics

What a run of `kfac-run` records: a row of `metrics.csv` for each iteration, one of
`evaluations.csv` for each evaluation, and the same in TensorBoard. A metric has its symbol and the
section of Martens and Grosse (2015) where it is about that; a cell of the tables stays empty where
it is not defined. Times are in seconds. This page is generated from `kfac_cli/recording/metrics.py`
(`make docs`).
"""

ITERATIONS = """\
## `metrics.csv`, each iteration
"""

EVALUATIONS = """\
## `evaluations.csv`, each evaluation

Means over the whole training and test sets.
"""

TENSORBOARD = """\
TensorBoard has `step/outcome` as a number, 0 for accepted, 1 for rejected and 2 for reverted, and
`damping/log10_lambda` besides `damping/lambda`, which can be too small for its precision. Its
errors are also under `by_cases/`, with the training cases drawn so far as the step: so runs with
mini-batches of different sizes can be compared. At the end of a run, `Errors-and-costs/` has what
the HPARAMS tab shows as results.
"""


def metrics_page() -> str:
    """The page, in Markdown."""
    shared = [metric.column for metric in EVALUATION_METRICS if metric in ITERATION_METRICS]
    also = f"{', '.join(f'`{c}`' for c in shared)} are as in `metrics.csv`.\n"
    own = [metric for metric in EVALUATION_METRICS if metric not in ITERATION_METRICS]
    tables = _table(ITERATION_METRICS), TENSORBOARD, EVALUATIONS, also, _table(own)
    return "\n".join((HEADING, ITERATIONS, *tables))


def _table(metrics: Sequence[Metric]) -> str:
    rows = [
        "| column | symbol | section | meaning | values | TensorBoard |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*rows, *map(_row, metrics)]) + "\n"


def _row(metric: Metric) -> str:
    values = ", ".join(metric.words) or metric.format
    tag = f"`{metric.tag}`" if metric.tag else ""
    cells = (f"`{metric.column}`", metric.symbol, metric.section, metric.meaning, values, tag)
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    print(metrics_page(), end="")
