"""Trials in processes of their own, and the data that those of kfac-jax read."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.common.problems import Problem
from benchmarks.peers.plan import Entrant
from kfac_cli.errors import UserError
from kfac_cli.paper.cost.methods import fixed
from kfac_cli.run.batches import Cases, HostRows, draw_batch

CHILD = Path(__file__).with_name("jax_trial.py")


class Rules(NamedTuple):
    """What all trials have in common."""

    problem: Problem
    threads: int
    seconds: float
    last_target: float
    evaluated_cases: int = 10_000
    iterations: int = 2000
    """the most that a trial of kfac-jax has mini-batches for"""


def trial(
    entrant: Entrant, seed: int, rules: Rules, folder: Path, jax_python: str
) -> dict[str, Any]:
    """The result of one trial. Raises UserError if its process fails."""
    specification: dict[str, Any] = {
        **entrant.specification(),
        "seed": seed,
        "threads": rules.threads,
        "seconds": rules.seconds,
        "last_target": rules.last_target,
        "evaluated_cases": rules.evaluated_cases,
    }
    if entrant.damping is None:
        specification |= {"problem": rules.problem.settings}
        specification |= {"random_cases": rules.problem.random_cases}
        call = [sys.executable, "-m", "benchmarks.peers.torch_trial"]
    else:
        specification |= {"folder": str(export(rules, seed, entrant.cases, folder))}
        specification |= {"activations": rules.problem.network.activations}
        call = [jax_python, str(CHILD)]
    done = subprocess.run([*call, json.dumps(specification)], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise UserError(f"{entrant.key}: its process failed; the same command tries again")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def export(rules: Rules, seed: int, cases: int, folder: Path) -> Path:
    """Write the training set, the initial parameters and the cases of each mini-batch, once."""
    own = folder / f"{seed}-{cases}"
    if own.exists():
        return own
    own.mkdir(parents=True)
    made = rules.problem.session((f"seed={seed}", *fixed(cases)))
    train = made.dataset.train_inputs
    np.save(own / "train.npy", train.numpy())
    np.savez(own / "parameters.npz", *(p.numpy() for p in made.optimizer.parameters))
    numbered = Cases(HostRows(torch.arange(len(train), dtype=torch.float64)[:, None]), None)
    order = [draw_batch(numbered, cases, made.batches)[0] for _ in range(rules.iterations)]
    np.save(own / "order.npy", torch.stack(order)[:, :, 0].to(torch.int32).numpy())
    return own
