"""What a run reports besides its iterations, to whatever display it has."""

import io
import re

import numpy as np
import pytest

from kfac_cli.config.compose import load_config
from kfac_cli.data.faces import build_faces
from kfac_cli.data.registry import load_dataset
from kfac_cli.recording.progress import Progress
from kfac_cli.run.runner import run


class Recording(Progress):
    """A display that only notes what it is told."""

    def __init__(self):
        super().__init__(9, io.StringIO())
        self.noted = []
        self.left = []

    def activity(self, what, done=0, total=0):
        self.noted.append((what, done, total))

    def iteration(self, row, seconds_left):
        self.noted.append(("iteration", row["iteration"], 0))
        self.left.append(seconds_left())


SMALL = [
    "experiment=smoke",
    "dataset.train_cases=300",
    "dataset.test_cases=100",
    "chunk_size=100",
    "iterations=4",
    "evaluate_every=4",
    "tensorboard=false",
]


@pytest.fixture
def noted(tmp_path, monkeypatch):
    def run_with(*words):
        monkeypatch.setenv("KFAC_DATA_DIR", str(tmp_path / "data"))
        (tmp_path / "run").mkdir()
        progress = Recording()
        with progress:
            run(load_config([*SMALL, *words]), tmp_path / "run", progress)
        return progress

    return run_with


def test_generating_calibrating_and_evaluating_are_named_with_their_progress(noted):
    events = noted().noted
    names = [name for name, *_ in events]
    assert events[0] == ("loading curves", 0, 0)
    assert [e for e in events if e[0] == "generating CURVES"] == [
        ("generating CURVES", 300, 400),
        ("generating CURVES", 400, 400),
    ]
    calibrating = [i for i, name in enumerate(names) if name.startswith("calibrating lambda, try")]
    iterations = [i for i, name in enumerate(names) if name == "iteration"]
    assert calibrating
    assert calibrating[0] < iterations[0]
    assert iterations[2] > calibrating[-1] > iterations[1]  # each of the first three calibrates
    evaluating = [event for event in events if event[0] == "evaluating"]
    total = evaluating[0][2]
    assert total in (400, 800)  # the average may be the iterate itself
    assert [done for _, done, _ in evaluating] == [0, *range(100, total + 1, 100)]
    assert events[-1] == ("", 0, 0)


def test_without_calibration_there_is_none_to_report(noted):
    names = [name for name, *_ in noted("optimizer.lambda_initial=150").noted]
    assert not any(name.startswith("calibrating") for name in names)


def test_the_time_left_respects_max_seconds(noted):
    unlimited = noted("max_seconds=1e9").left
    assert unlimited[0] > 1e8


def test_the_time_left_of_a_run_that_will_be_cut_short(noted):
    left = noted("iterations=1000000", "max_seconds=0.5").left
    assert all(seconds <= 0.5 for seconds in left)


def test_no_time_is_left_once_the_steps_have_taken_theirs(noted):
    assert noted("iterations=1000000", "max_optimizer_seconds=1e-9").left == [0]


def test_building_faces_reports_each_photograph():
    photographs = np.random.default_rng(0).random((400, 64, 64), dtype=np.float32)
    told = []
    build_faces(photographs, 1, 2.0, np.random.default_rng(0), lambda *how: told.append(how))
    assert told[-1] == ("building FACES", len(told), len(told))
    assert [done for _, done, _ in told] == [*range(1, len(told) + 1)]


def test_a_dataset_that_is_cached_is_not_generated(tmp_path):
    options = load_config(SMALL).dataset
    told = []
    for _ in range(2):
        load_dataset(options, tmp_path, report=lambda *how: told.append(how))
    assert [done for _, done, _ in told] == [300, 400]
    assert re.search("curves-v", str([*(tmp_path / "curves").iterdir()]))
