"""The metrics of a run: one entry for each, from which everything that shows it is derived.

To add a metric of an iteration, give `StepRecord` a field and name it in an entry here; of an
evaluation, add an entry here and its value to `evaluation_row` (run/evaluation.py).
"""

from collections.abc import Sequence
from typing import get_args

from kfac_cli.engine.record import Outcome, StepRecord
from kfac_cli.recording.metric import Metric, Terminal

ERRORS = "Errors"
"""TensorBoard's group of the error curves; the capital puts it before all others."""


def _seconds(part: str, meaning: str, label: str) -> Metric:
    """A time."""
    column = f"{part}_seconds" if part else "seconds"
    return Metric(column, meaning, label=label, format="seconds", tag=f"time/{column}")


ITERATION = Metric("iteration", "number of parameter updates so far", symbol="k", format="count")
CASES = Metric(
    "cases",
    "training cases drawn so far",
    label="training cases",
    format="count",
    tag="train/cases",
)
SECONDS = _seconds(
    "", "time since the run began, without that between interruption and resumption", "time"
)
OPTIMIZER_SECONDS = _seconds(
    "optimizer", "part of the time that was spent in the optimizer's steps", "time of the optimizer"
)

ITERATION_METRICS = (
    ITERATION,
    Metric(
        "batch_size",
        "cases of the mini-batch",
        "13",
        "m",
        "mini-batch size",
        format="count",
        tag="train/batch_size",
        terminal=Terminal(1, "batch", 6),
        panel=3,
    ),
    CASES,
    Metric(
        "objective",
        "mean loss on the mini-batch before the update, with ℓ₂ regularization",
        "2.1",
        "h",
        "objective",
        "log",
        field="objective",
        tag="train/minibatch_objective",
        terminal=Terminal(8, "objective"),
    ),
    Metric(
        "error",
        "mean error on the mini-batch before the update: squared error, or share of wrong labels",
        "13",
        "",
        "error",
        "log",
        field="error",
        tag=f"{ERRORS}/minibatch_error",
        is_error=True,
        terminal=Terminal(2, "error"),
    ),
    Metric(
        "alpha",
        "factor of the preconditioned gradient in the update",
        "6.4",
        "α",
        "step size",
        field="alpha",
        tag="step/alpha",
        terminal=Terminal(5, "alpha"),
        panel=5,
    ),
    Metric(
        "mu",
        "factor of the previous update in the update",
        "7",
        "μ",
        "momentum",
        field="mu",
        tag="step/mu",
        terminal=Terminal(6, "mu"),
        panel=4,
    ),
    Metric(
        "rho",
        "reduction ratio: change of the objective over the one that the model predicted; empty "
        "where lambda is not adjusted",
        "6.5",
        "ρ",
        "reduction ratio",
        field="rho",
        tag="damping/rho",
        terminal=Terminal(7, "rho"),
    ),
    Metric(
        "lambda",
        "damping of the quadratic model after the step",
        "6.5",
        "λ",
        "damping",
        "log",
        field="damping",
        tag="damping/lambda",
        terminal=Terminal(3, "lambda", 9),
        panel=1,
    ),
    Metric(
        "gamma",
        "damping of the Kronecker factors after the step",
        "6.6",
        "γ",
        "damping",
        "log",
        field="gamma",
        tag="damping/gamma",
        terminal=Terminal(4, "gamma"),
        panel=2,
    ),
    Metric(
        "model_change",
        "change of the objective that the quadratic model predicts for the update; without "
        "re-scaling only where lambda or gamma is chosen by it",
        "6.4",
        "M(δ) - M(0)",
        "predicted change",
        field="model_change",
        tag="step/model_change",
    ),
    Metric(
        "noise_scale",
        "mini-batch size at which the gradient's standard error equals its norm, if measured",
        label="noise scale",
        scale="log",
        field="noise_scale",
        tag="train/noise_scale",
    ),
    Metric(
        "outcome",
        "accepted: taken; rejected: not taken; reverted: not taken and the one before undone",
        label="outcome",
        format="word",
        field="outcome",
        tag="step/outcome",
        words=get_args(Outcome),
    ),
    SECONDS,
    OPTIMIZER_SECONDS,
    _seconds("evaluation", "part of the time that was spent on evaluations", "time of evaluations"),
    _seconds(
        "logging",
        "part of the time that was spent on recording and checkpoints",
        "time of recording",
    ),
)
"""One row of metrics.csv for each iteration."""


def _error(column: str, meaning: str, label: str, terminal: Terminal | None = None) -> Metric:
    """A mean error over a whole set."""
    tag = f"{ERRORS}/{column}"
    return Metric(
        column, meaning, "13", "", label, "log", tag=tag, is_error=True, terminal=terminal
    )


def _log_likelihood(column: str, meaning: str, label: str) -> Metric:
    """A mean log-likelihood over a whole set."""
    return Metric(column, meaning, "2.1", "", label, tag=f"evaluation/{column}")


AVERAGED = "the same with the Polyak average of the parameters"

EVALUATION_METRICS = (
    ITERATION,
    CASES,
    SECONDS,
    OPTIMIZER_SECONDS,
    _error(
        "train_error",
        "mean error on the training set",
        "training error",
        Terminal(1, "training error", 14),
    ),
    _error(
        "train_error_average", AVERAGED, "training error, averaged", Terminal(2, "averaged", 10)
    ),
    _error("train_error_best", "the smaller of these two", "best training error"),
    _error("test_error", "mean error on the test set", "test error", Terminal(3, "test error", 12)),
    _error("test_error_average", AVERAGED, "test error, averaged", Terminal(4, "averaged", 10)),
    _log_likelihood(
        "train_log_likelihood",
        "mean log-likelihood of the training targets",
        "training log-likelihood",
    ),
    _log_likelihood("train_log_likelihood_average", AVERAGED, "training log-likelihood, averaged"),
    _log_likelihood(
        "test_log_likelihood", "mean log-likelihood of the test targets", "test log-likelihood"
    ),
    _log_likelihood("test_log_likelihood_average", AVERAGED, "test log-likelihood, averaged"),
)
"""One row of evaluations.csv for each evaluation, on the whole training and test sets."""

METRIC_COLUMNS = tuple(metric.column for metric in ITERATION_METRICS)
EVALUATION_COLUMNS = tuple(metric.column for metric in EVALUATION_METRICS)

WORDS = {metric.column: metric.words for metric in ITERATION_METRICS if metric.words}
"""The words that a column without numbers holds."""


def step_values(record: StepRecord) -> dict[str, object]:
    """The values in a step's record, by column."""
    return {m.column: getattr(record, m.field) for m in ITERATION_METRICS if m.field}


def on_terminal(metrics: Sequence[Metric]) -> list[tuple[Metric, Terminal]]:
    """The metrics that the terminal shows, in its order."""
    shown = [(metric, metric.terminal) for metric in metrics if metric.terminal is not None]
    return sorted(shown, key=lambda each: each[1].place)


def on_panels() -> list[Metric]:
    """The metrics that the picture can show in its panels, in their order."""
    places = [(metric.panel, metric) for metric in ITERATION_METRICS if metric.panel is not None]
    return [metric for _, metric in sorted(places, key=lambda each: each[0])]
