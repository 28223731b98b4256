"""A trial of an optimizer of kfac-run, in a process of its own.

    python -m benchmarks.peers.torch_trial SPECIFICATION

Prints its result as a line of JSON. The same seed gives every optimizer the same initial parameters
and the same stream of mini-batches.
"""

import json
import sys
from typing import Any

import torch

from benchmarks.common.problems import Problem
from benchmarks.peers.clock import curve
from kfac_cli.engine import evaluate
from kfac_cli.run.session import Session


def run(specification: dict[str, Any]) -> dict[str, Any]:
    """The result of the trial: its `points`."""
    torch.set_num_threads(specification["threads"])
    problem = Problem(tuple(specification["problem"]), specification["random_cases"])
    made = problem.session([*specification["settings"], f"seed={specification['seed']}"])

    def step() -> bool:
        made.step()
        return not made.diverged

    points = curve(
        step,
        lambda: training_error(made, specification["evaluated_cases"]),
        specification["last_target"],
        specification["seconds"],
    )
    return {"points": points}


def training_error(made: Session, cases: int) -> float:
    """The error of the iterate on the first training cases."""
    inputs = made.dataset.train_inputs[:cases]
    return evaluate(made.network, made.optimizer.parameters, inputs, inputs, 2000).error


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
