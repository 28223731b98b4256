"""Whole-set figures of a session's iterate and of its Polyak average."""

import math
from dataclasses import dataclass

from kfac_cli.engine import Evaluation, Parameters, evaluate
from kfac_cli.session import Session


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
    average = session.average.parameters
    train, test = _both_sets(session, iterate, chunk_size)
    if all(a is p for a, p in zip(average, iterate, strict=True)):
        return Figures(train, train, test, test)
    train_average, test_average = _both_sets(session, average, chunk_size)
    return Figures(train, train_average, test, test_average)


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
