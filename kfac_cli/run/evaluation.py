"""What a session's iterate and its Polyak average are worth on all cases, and look like on some."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kfac_cli.data.dataset import Dataset
from kfac_cli.engine import Evaluation, Parameters, evaluate
from kfac_cli.run.session import Session

PICTURES = 15
"""Test cases whose reconstructions are shown."""


@dataclass(frozen=True)
class Figures:
    """Means over the whole training and test set, of the iterate and of its Polyak average."""

    train: Evaluation
    train_average: Evaluation
    test: Evaluation
    test_average: Evaluation

    @property
    def best(self) -> float:
        """The smaller training error of the two, the figure that is reported (section 13)."""
        return _smaller(self.train.error, self.train_average.error)


def evaluate_session(session: Session, chunk_size: int) -> Figures:
    """Evaluate the iterate, and its average where that is another."""
    iterate = session.optimizer.parameters
    average = session.average.parameters or iterate  # empty before the first step that was taken
    train, test = _both_sets(session, iterate, chunk_size)
    if all(a is p for a, p in zip(average, iterate, strict=True)):
        return Figures(train, train, test, test)
    train_average, test_average = _both_sets(session, average, chunk_size)
    return Figures(train, train_average, test, test_average)


def evaluation_row(iteration: int, figures: Figures) -> dict[str, Any]:
    """The figures as a row of evaluations.csv."""
    return {
        "iteration": iteration,
        "train_error": figures.train.error,
        "train_error_average": figures.train_average.error,
        "train_error_best": figures.best,
        "test_error": figures.test.error,
        "test_error_average": figures.test_average.error,
        "train_log_likelihood": -figures.train.loss,
        "train_log_likelihood_average": -figures.train_average.loss,
        "test_log_likelihood": -figures.test.loss,
        "test_log_likelihood_average": -figures.test_average.loss,
    }


def not_finite(row: Mapping[str, Any]) -> list[str]:
    """The names of the figures in a row of evaluations.csv that are nan or infinite."""
    return [name for name, value in row.items() if not math.isfinite(value)]


def extreme_case(dataset: Dataset, dtype: torch.dtype) -> str | None:
    """The first case whose sum of squares overflows `dtype`, in words; None if there is none.

    Such a case makes errors and losses infinite whatever the parameters are.
    """
    for name in ("train_inputs", "train_targets", "test_inputs", "test_targets"):
        cases: Tensor = getattr(dataset, name)
        squares = cases.to(dtype).square().sum(1)
        if not bool(torch.isfinite(squares).all()):
            row = int(torch.isfinite(squares).logical_not().nonzero()[0])
            largest = float(cases[row].abs().max())
            return f"row {row} of {name} (counted from 0) has values up to {largest:.3g}"
    return None


def reconstructions(session: Session, rows: Sequence[Mapping[str, Any]]) -> tuple[Tensor, Tensor]:
    """Some test cases and what the network makes of them, each (n, d_l).

    By the average of the iterates where the latest of `rows`, those of evaluations.csv, gives it
    the lower training error, by the iterate elsewhere.
    """
    parameters = session.optimizer.parameters
    if rows and rows[-1]["train_error_average"] < rows[-1]["train_error"]:
        parameters = session.average.parameters
    like = parameters[0]
    inputs = session.dataset.test_inputs[:PICTURES]
    logits = session.network.forward(parameters, inputs.to(like.device, like.dtype)).logits
    return session.dataset.test_targets[:PICTURES], session.network.distribution.mean(logits)


def error_name(session: Session) -> str:
    """What the reported error is called."""
    data = session.dataset
    if session.network.output == "categorical":
        return "error rate"
    return "reconstruction error" if data.train_targets is data.train_inputs else "squared error"


def _both_sets(
    session: Session, parameters: Parameters, chunk_size: int
) -> tuple[Evaluation, Evaluation]:
    data, network = session.dataset, session.network
    train = evaluate(network, parameters, data.train_inputs, data.train_targets, chunk_size)
    test = evaluate(network, parameters, data.test_inputs, data.test_targets, chunk_size)
    return train, test


def _smaller(first: float, second: float) -> float:
    """The smaller of two numbers; one that is not finite counts as infinite."""
    return min((x if math.isfinite(x) else math.inf) for x in (first, second))
