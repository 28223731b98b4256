"""Fixtures: the command kfac-tune in this process, and a small study."""

import csv
import json
import os

import optuna
import pytest
from calling import calling
from soak.experiment import overrides, write_cases

from kfac_cli.run.session import Session
from kfac_cli.tune.__main__ import main
from kfac_cli.tune.storage import JOURNAL, open_storage

RANGE = "optimizer.learning_rate=tag(log,interval(1e-3,1))"


@pytest.fixture
def kfac_tune(tmp_path, monkeypatch, capsys):
    """Calls `kfac-tune *arguments` in this process, with tmp_path as the current directory."""
    monkeypatch.chdir(tmp_path)
    with calling("kfac-tune", main, monkeypatch, capsys) as call:
        yield call


@pytest.fixture
def words(tmp_path):
    """The settings of a study of short runs, with one range."""
    write_cases(tmp_path / "cases.npz")
    fixed = overrides(tmp_path / "cases.npz", "nesterov_sgd", iterations=8)
    return [*fixed, "tensorboard=false", "checkpoint.every=2", RANGE]


@pytest.fixture
def in_step(monkeypatch):
    """Arranges an action at the beginning of each step, which gets the session."""
    step = Session.step

    def arrange(action):
        def acting(self):
            action(self)
            return step(self)

        monkeypatch.setattr(Session, "step", acting)

    return arrange


def send(number):
    os.kill(os.getpid(), number)


def trials(folder, name="kfac-tune"):
    """The trials of the study in a folder's journal."""
    assert (folder / JOURNAL).exists()
    study = optuna.load_study(study_name=name, storage=open_storage(None, folder))
    return study.get_trials()


def table(path):
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def summary(folder, number):
    """The summary of a trial's run."""
    return json.loads((folder / f"trials/{number}/summary.json").read_text())
