"""Errors of the iterate and its Polyak average on whole sets, and example reconstructions."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from kfac_cli.data.base_options import Report, silent
from kfac_cli.data.dataset import Dataset
from kfac_cli.engine import Evaluation, Parameters, evaluate
from kfac_cli.run.session import Session

PICTURES = 15
"""Test cases whose reconstructions are shown."""


@dataclass(frozen=True)
class SessionEvaluation:
    """Means over the whole training and test sets, for the iterate and its Polyak average."""

    train: Evaluation
    train_average: Evaluation
    test: Evaluation
    test_average: Evaluation

    @property
    def best(self) -> float:
        """The smaller training error of the two, which is reported (section 13)."""
        return _smaller(self.train.error, self.train_average.error)


def evaluate_session(session: Session, report: Report = silent) -> SessionEvaluation:
    """Evaluate the iterate, and its average if that differs; `report` is told how far it is."""
    iterate = session.optimizer.parameters
    average = session.average.parameters or iterate  # empty before the first step taken
    same = all(a is p for a, p in zip(average, iterate, strict=True))
    todo = _cases_to_evaluate(session.dataset) * (1 if same else 2)
    done = 0

    def both_sets(parameters: Parameters) -> tuple[Evaluation, Evaluation]:
        nonlocal done
        before = done
        sets = _both_sets(
            session,
            parameters,
            lambda cases: report("evaluating", before + cases, todo),
        )
        done += _cases_to_evaluate(session.dataset)
        return sets

    report("evaluating", 0, todo)
    train, test = both_sets(iterate)
    train_average, test_average = (train, test) if same else both_sets(average)
    report("", 0, 0)
    return SessionEvaluation(train, train_average, test, test_average)


def evaluation_row(
    session: Session, evaluation: SessionEvaluation, times: Mapping[str, float]
) -> dict[str, Any]:
    """The evaluation as a row of evaluations.csv; `times` are those of the run so far."""
    return {
        "iteration": session.iteration,
        "cases": session.cases,
        "seconds": times["seconds"],
        "optimizer_seconds": times["optimizer_seconds"],
        "train_error": evaluation.train.error,
        "train_error_average": evaluation.train_average.error,
        "train_error_best": evaluation.best,
        "test_error": evaluation.test.error,
        "test_error_average": evaluation.test_average.error,
        "train_log_likelihood": -evaluation.train.loss,
        "train_log_likelihood_average": -evaluation.train_average.loss,
        "test_log_likelihood": -evaluation.test.loss,
        "test_log_likelihood_average": -evaluation.test_average.loss,
    }


def measured_errors(session: Session, latest: Mapping[str, Any] | None) -> dict[str, Any]:
    """When the iterate, the average and the best parameters were measured, and their errors.

    `latest` is the last row of evaluations.csv. An iterate that was not measured has no errors; of
    the best parameters, `kind` says whether they are an iterate or an average.
    """
    row = latest if latest is not None and latest["iteration"] == session.iteration else {}
    found: dict[str, Any] = {
        kind: {
            "iteration": session.iteration,
            "train_error": row.get(f"train_error{suffix}"),
            "test_error": row.get(f"test_error{suffix}"),
        }
        for kind, suffix in (("iterate", ""), ("average", "_average"))
    }
    best = session.best.values
    found["best"] = {
        "iteration": best["best_iteration"],
        "train_error": best["best_train_error"],
        "test_error": best["best_test_error"],
        "kind": best["best_parameters"],
    }
    return found


def not_finite(row: Mapping[str, Any]) -> list[str]:
    """The columns in a row of evaluations.csv that are nan or infinite."""
    return [name for name, value in row.items() if not math.isfinite(value)]


def current_parameters(session: Session, rows: Sequence[Mapping[str, Any]]) -> Parameters:
    """The iterate or its average, whichever has the lower training error in the last of `rows`.

    These are rows of evaluations.csv; without any, it is the iterate.
    """
    if rows and rows[-1]["train_error_average"] < rows[-1]["train_error"]:
        return session.average.parameters
    return session.optimizer.parameters


def reconstructions(session: Session, parameters: Parameters) -> tuple[Tensor, Tensor]:
    """Some test targets and the network's outputs for them, each (n, d_l)."""
    like = parameters[0]
    inputs = session.dataset.test_inputs[:PICTURES]
    logits = session.network.forward(parameters, inputs.to(like.device, like.dtype)).logits
    return session.dataset.test_targets[:PICTURES], session.network.distribution.mean(logits)


def error_name(session: Session) -> str:
    """The name of the reported error."""
    data = session.dataset
    if session.network.output == "categorical":
        return "error rate"
    return "reconstruction error" if data.train_targets is data.train_inputs else "squared error"


def _both_sets(
    session: Session, parameters: Parameters, report: Callable[[int], None]
) -> tuple[Evaluation, Evaluation]:
    data, network, chunk_size = session.dataset, session.network, session.optimizer.chunk_size
    inputs, targets = session.training.all()
    train = evaluate(network, parameters, inputs, targets, chunk_size, report)
    if _tests_on_training_cases(data):
        return train, train
    inputs, targets, before = data.test_inputs, data.test_targets, len(inputs)
    test = evaluate(
        network, parameters, inputs, targets, chunk_size, lambda cases: report(before + cases)
    )
    return train, test


def _tests_on_training_cases(data: Dataset) -> bool:
    return data.test_inputs is data.train_inputs and data.test_targets is data.train_targets


def _cases_to_evaluate(data: Dataset) -> int:
    return len(data.train_inputs) + (0 if _tests_on_training_cases(data) else len(data.test_inputs))


def _smaller(first: float, second: float) -> float:
    """The smaller of two numbers; one that is not finite counts as infinite."""
    return min((x if math.isfinite(x) else math.inf) for x in (first, second))
