"""When checkpoints are written, and how long the last one stays."""

import json
import math
import time
from types import SimpleNamespace

import pytest
import torch

from kfac_cli.checkpoint.folder import checkpoint_iterations
from kfac_cli.recording import picture_sink
from kfac_cli.recording.csv_table import read_table
from kfac_cli.run import checkpointing
from kfac_cli.run.session import Session
from tests.commands.resume.helpers import KilledError, start


def saved_at(monkeypatch, tmp_path, words):
    iterations = []
    write = checkpointing.CheckpointFolder.write

    def note(self, iteration, contents):
        iterations.append(iteration)
        write(self, iteration, contents)

    monkeypatch.setattr(checkpointing.CheckpointFolder, "write", note)
    start(tmp_path / "run", words)
    return iterations


def test_checkpoints_come_every_n_iterations_and_at_the_end(monkeypatch, tmp_path, words):
    assert saved_at(monkeypatch, tmp_path, [*words, "checkpoint.every=9"]) == [9, 18, 24]
    assert checkpoint_iterations(tmp_path / "run") == [24, 18]


def test_checkpoints_come_every_n_minutes(monkeypatch, tmp_path, words):
    """A step takes 50 seconds here, so that two minutes are over after three."""
    step, clock = Session.step, SimpleNamespace(seconds=0.0)

    def slow_step(self):
        clock.seconds += 50
        return step(self)

    monkeypatch.setattr(Session, "step", slow_step)
    monkeypatch.setattr(checkpointing, "time", SimpleNamespace(perf_counter=lambda: clock.seconds))
    minutes = [*words, "checkpoint.minutes=2", "iterations=10"]
    assert saved_at(monkeypatch, tmp_path, minutes) == [3, 6, 9, 10]


def test_without_a_period_there_is_one_at_the_end(monkeypatch, tmp_path, words):
    assert saved_at(monkeypatch, tmp_path, words) == [24]


def test_writing_checkpoints_counts_as_logging(tmp_path, words, monkeypatch):
    write = checkpointing.CheckpointFolder.write

    def slow(self, iteration, contents):
        time.sleep(0.3)
        write(self, iteration, contents)

    monkeypatch.setattr(checkpointing.CheckpointFolder, "write", slow)
    start(tmp_path / "run", [*words, "iterations=4", "checkpoint.every=2"])
    assert json.loads((tmp_path / "run/summary.json").read_text())["logging_seconds"] > 0.6


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_parameters_that_are_not_finite_do_not_replace_an_older_checkpoint(
    monkeypatch, tmp_path, words, value, caplog
):
    """Nothing could be resumed from them."""
    step = Session.step

    def spoiled(self):
        result = step(self)
        if self.iteration == 4:
            self.optimizer.parameters = [
                torch.full_like(w, value) for w in self.optimizer.parameters
            ]
        return result

    monkeypatch.setattr(Session, "step", spoiled)
    start(tmp_path / "run", [*words, "checkpoint.every=2", "iterations=5", "evaluate_every=100"])
    assert checkpoint_iterations(tmp_path / "run") == [5, 2]
    assert "no checkpoint at iteration 4: its parameters are not finite" in caplog.text


def test_without_checkpoints_the_last_one_stays_until_the_results_are_written(
    kfac_run, words, tmp_path, monkeypatch
):
    """Killed while it draws its figure, a run still has where to continue."""
    drawing = []

    def killed(*_):
        drawing.append(checkpoint_iterations(tmp_path / "run"))
        raise KilledError

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(picture_sink, "draw_run", killed)
        start(tmp_path / "run", [*words, "checkpoint.keep=0", "checkpoint.every=4"])
    assert drawing == [[20, 16]]
    assert kfac_run("resume=run").code == 0
    assert len(read_table(tmp_path / "run/metrics.csv")) == 24
    assert checkpoint_iterations(tmp_path / "run") == []
