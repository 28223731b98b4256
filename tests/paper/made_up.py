"""Made-up runs whose progress is known exactly."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from kfac_cli.paper.runs import PlannedRun
from kfac_cli.paper.study import RUNS
from kfac_cli.report.runs import Run, load_runs
from tests.report.folders import settings, write_run

ERRORS = (64.0, 16.0, 4.0, 1.0)
"""At the evaluations of every run: the logarithm is linear in the iterations."""


def made_up(folder: Path, every: int = 25, errors=ERRORS, seed: int = 0, average=1.1) -> Run:
    """A run with these errors, one each `every` iterations, of 0.1 optimizer seconds each.

    `average` is the error of the Polyak average over that of the iterate.
    """
    write_run(folder, settings(seed=seed), errors=errors, every=every)
    [run], _ = load_runs([folder])
    rows = run.evaluations
    averaged = average * np.array(errors)
    return replace(run, evaluations={**rows, "train_error_average": averaged})


class PretendedRuns:
    """Takes the place of `complete_runs`: `every` has iterations between evaluations by method."""

    def __init__(self) -> None:
        self.planned: list[PlannedRun] = []
        self.every: dict[str, int] = {}

    def __call__(self, planned, folder, say, jobs=1):
        self.planned += planned
        return [self._run(run, folder / RUNS / run.name) for run in planned]

    def _run(self, planned: PlannedRun, folder: Path) -> Run:
        parts = planned.name.split("/")
        every = next((n for name, n in self.every.items() if name in planned.name), 25)
        return made_up(folder, every, seed=int(parts[-1]))
