"""The figures of a run: the columns of its tables, and where each of them is shown."""

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
"""One row an iteration: the mini-batch, its figures before the update, and the update's scalars.

`cases` counts the training cases drawn so far. `noise_scale` is the size of a mini-batch whose
gradient errs by as much as it is long, where the schedule asks for it. `rejected` is 1 where no
step was taken, being not finite or following one that was taken back, empty for others. `seconds`
is the time since the run began and the other three are its parts so far.
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
"""One row an evaluation: whole-set figures of the iterate and of the Polyak average."""

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
"""Column of the metrics table to name in the display, the more important first."""

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
    """Name and text of each value that the display shows of an iteration and the row has."""
    values = []
    for column, name in ITERATION_FIELDS:
        value = row.get(column)
        if value is not None:
            text = str(value) if column == "batch_size" else significant(value)
            values.append((name, text))
    return values
