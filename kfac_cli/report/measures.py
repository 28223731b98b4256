"""What is compared: errors and log-likelihoods, and what reaching them cost."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kfac_cli.recording.values import as_finite
from kfac_cli.report.columns import Columns
from kfac_cli.report.runs import Run

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Cost:
    """A column of the tables that grows during a run, and its unit as text."""

    column: str
    label: str


ITERATIONS = Cost("iteration", "iterations")
CASES = Cost("cases", "cases")
SECONDS = Cost("optimizer_seconds", "optimizer seconds")
COSTS = (ITERATIONS, CASES, SECONDS)


@dataclass(frozen=True)
class Measure:
    """A column of evaluations.csv, drawn as it is or with its sign changed."""

    name: str
    label: str
    column: str
    sign: int = 1


MEASURES = (
    Measure("train_error", "training error", "train_error"),
    Measure("test_error", "test error", "test_error"),
    Measure("train_nll", "negative log-likelihood, training", "train_log_likelihood", -1),
    Measure("test_nll", "negative log-likelihood, test", "test_log_likelihood", -1),
)


def measured(run: Run, measure: Measure) -> Values:
    """The values (evaluations,) of the iterate or the Polyak average, nan where there is none.

    Which of the two, `better` says.
    """
    return measure.sign * better(run.evaluations, measure.column)


def better(rows: Columns, column: str) -> Values:
    """A column (evaluations,) of the iterate or the Polyak average, nan where there is none.

    That of the two counts whose training error is smaller (section 13), for every column, so that
    the test set decides nothing.
    """
    nothing = np.full(len(rows.get("iteration", ())), math.nan)
    own = rows.get(column, nothing)
    error, averaged = rows.get("train_error", nothing), rows.get("train_error_average", nothing)
    with np.errstate(invalid="ignore"):
        use_average = (averaged < error) | (np.isnan(error) & ~np.isnan(averaged))
    values: Values = np.where(use_average, rows.get(f"{column}_average", own), own)
    return values


def spent(run: Run, cost: Cost) -> Values:
    """The cost so far at each evaluation (evaluations,); nan where it was not recorded."""
    count = len(run.evaluations.get("iteration", ()))
    return run.evaluations.get(cost.column, np.full(count, math.nan))


def best_error(run: Run) -> float:
    """The smallest training error; infinite if none was finite."""
    values = measured(run, MEASURES[0])
    finite = values[np.isfinite(values)]
    if len(finite):
        return float(finite.min())
    known = as_finite(run.summary.get("best_train_error"))
    return math.inf if known is None else known


def best_test_error(run: Run) -> float:
    """The test error of the parameters with the smallest training error; nan if there is none."""
    values = measured(run, MEASURES[0])
    if np.isfinite(values).any():
        return float(measured(run, MEASURES[1])[np.nanargmin(values)])
    known: Any = as_finite(run.summary.get("best_test_error"))
    return math.nan if known is None else float(known)


def total(run: Run, cost: Cost) -> float:
    """The whole cost of a run, also of its steps after the last evaluation; nan if unknown."""
    for values in (run.metrics.get(cost.column), run.evaluations.get(cost.column)):
        if values is not None and len(values) and math.isfinite(values[-1]):
            return float(values[-1])
    return math.nan


def time_to(run: Run, target: float, cost: Cost) -> float:
    """The cost at the first evaluation with a training error of at most `target`.

    Infinite if there is none; nan if it was reached and its cost was not recorded.
    """
    values = measured(run, MEASURES[0])
    reached = np.flatnonzero(values <= target)
    return float(spent(run, cost)[reached[0]]) if len(reached) else math.inf
