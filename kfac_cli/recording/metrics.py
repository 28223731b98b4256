"""The metrics of a run: the columns of its tables, and where each is shown."""

from kfac_cli.recording.values import Row, as_finite, significant

METRIC_COLUMNS = (
    "iteration",
    "batch_size",
    "cases",
    "objective",
    "error",
    "alpha",
    "mu",
    "rho",
    "lambda",
    "gamma",
    "noise_scale",
    "rejected",
    "seconds",
    "optimizer_seconds",
    "evaluation_seconds",
    "logging_seconds",
)
"""One row per iteration: the mini-batch, its errors before the update, and the update's scalars.

`cases` counts the training cases drawn so far. `noise_scale` is the mini-batch size at which the
gradient's standard error equals its norm, if the schedule measures it. `rejected` is 1 if no step
was taken, because it was not finite or the previous one was reverted, and empty otherwise.
`seconds` is the time since the run began; the other three are its parts.
"""

EVALUATION_COLUMNS = (
    "iteration",
    "train_error",
    "train_error_average",
    "train_error_best",
    "test_error",
    "test_error_average",
    "train_log_likelihood",
    "train_log_likelihood_average",
    "test_log_likelihood",
    "test_log_likelihood_average",
)
"""One row per evaluation: means over whole sets, for the iterate and the Polyak average."""

ITERATION_TAGS = {
    "objective": "train/minibatch_objective",
    "error": "train/minibatch_error",
    "batch_size": "train/batch_size",
    "cases": "train/cases",
    "alpha": "step/alpha",
    "mu": "step/mu",
    "rho": "damping/rho",
    "lambda": "damping/lambda",
    "gamma": "damping/gamma",
    "noise_scale": "train/noise_scale",
    "seconds": "time/seconds",
    "optimizer_seconds": "time/optimizer_seconds",
    "evaluation_seconds": "time/evaluation_seconds",
    "logging_seconds": "time/logging_seconds",
}
"""Column of the metrics table to TensorBoard tag."""

ITERATION_FIELDS = (
    ("batch_size", "batch"),
    ("error", "error"),
    ("lambda", "lambda"),
    ("gamma", "gamma"),
    ("alpha", "alpha"),
    ("mu", "mu"),
    ("rho", "rho"),
    ("objective", "objective"),
)
"""Column of the metrics table to name in the display, the most important first."""

EVALUATION_FIELDS = (
    ("train_error", "training error"),
    ("train_error_average", "averaged"),
    ("test_error", "test error"),
    ("test_error_average", "averaged"),
)
"""Column of the evaluations table to heading."""


def iterations_done(row: Row) -> int:
    """The iteration that a row belongs to."""
    return int(as_finite(row.get("iteration")) or 0)


def iteration_values(row: Row) -> list[tuple[str, str]]:
    """Name and text of each value in the row that the display shows."""
    values = []
    for column, name in ITERATION_FIELDS:
        value = row.get(column)
        if value is not None:
            text = str(value) if column == "batch_size" else significant(value)
            values.append((name, text))
    return values
