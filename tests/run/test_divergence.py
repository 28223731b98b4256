"""Diverging steps: rejected if the optimizer can adapt, otherwise the end of the run."""

import json
import math

import numpy as np
import pytest
import torch
from soak.compare import differences, metrics, parameters
from soak.experiment import overrides, write_cases

from kfac_cli.checkpoint.folder import checkpoint_iterations
from kfac_cli.engine import kfac
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.recording.csv_table import read_table


@pytest.fixture
def words(tmp_path):
    write_cases(tmp_path / "cases.npz")
    return [*overrides(tmp_path / "cases.npz"), "tensorboard=false"]


@pytest.fixture
def steep(tmp_path):
    """A run of the baseline that explodes within a few iterations."""
    write_cases(tmp_path / "cases.npz")
    return [
        *overrides(tmp_path / "cases.npz", "nesterov_sgd"),
        "tensorboard=false",
        "optimizer.learning_rate=10",
        "optimizer.final_iterations=0",
        "dataset.output=gaussian",
        "dataset.activations=[linear,linear,linear]",
    ]


@pytest.fixture
def not_finite(monkeypatch):
    """Makes the gradients of the given iterations not finite."""
    step = kfac.KFAC.step
    first_order = MiniBatch.first_order
    current = []

    def arrange(*iterations):
        def noted_step(self, *arguments, **keywords):
            current[:] = [self.iteration + 1]
            return step(self, *arguments, **keywords)

        def poisoned(self, *arguments, **keywords):
            result = first_order(self, *arguments, **keywords)
            if current[0] in iterations:
                result.gradient[0][0, 0] = torch.nan
            return result

        monkeypatch.setattr(kfac.KFAC, "step", noted_step)
        monkeypatch.setattr(MiniBatch, "first_order", poisoned)

    return arrange


def summary(tmp_path):
    return json.loads((tmp_path / "run/summary.json").read_text())


def test_a_rejected_step_is_marked_counted_and_logged_and_the_run_continues(
    begin, words, tmp_path, not_finite
):
    not_finite(6, 7, 15)
    answer = begin("run", words)
    assert answer.code == 0
    rows = read_table(tmp_path / "run/metrics.csv")
    assert [row["iteration"] for row in rows if row["outcome"] != "accepted"] == [6, 7, 15]
    assert [rows[k]["outcome"] for k in (4, 5, 6, 14)] == [
        "accepted",
        "reverted",
        "rejected",
        "reverted",
    ]
    for row, before in ((rows[5], rows[4]), (rows[6], rows[5]), (rows[14], rows[13])):
        assert row["alpha"] is None
        assert row["lambda"] > before["lambda"]
    assert summary(tmp_path)["rejections"] == 3
    assert answer.err.count("is rejected at objective") == 3
    assert "iteration 15 is rejected at objective" in (tmp_path / "run/run.log").read_text()
    assert all(torch.isfinite(w).all() for w in parameters(tmp_path / "run")["average"])


@pytest.mark.parametrize("start", [0, 1000], ids=["averaging", "not yet"])
def test_a_reverted_step_leaves_no_trace_in_the_average(begin, words, tmp_path, monkeypatch, start):
    """A step made to diverge at iteration 6, and the run that ends before it."""
    taken = kfac.KFAC.step

    def step(self, *arguments, **keywords):
        record = taken(self, *arguments, **keywords)
        if self.iteration == 6:
            self.parameters = [100 * w for w in self.parameters]
        return record

    begin("before", [*words, "iterations=5", f"polyak.start={start}"])
    monkeypatch.setattr(kfac.KFAC, "step", step)
    begin("run", [*words, "iterations=7", f"polyak.start={start}"])
    outcomes = [row["outcome"] for row in read_table(tmp_path / "run/metrics.csv")]
    assert outcomes[5:] == ["accepted", "reverted"]
    before, after = parameters(tmp_path / "before"), parameters(tmp_path / "run")
    for kind in ("parameters", "average"):
        assert all(torch.equal(b, a) for b, a in zip(before[kind], after[kind], strict=True))


def test_max_rejections_in_a_row_end_the_run_as_diverged(begin, words, tmp_path, not_finite):
    not_finite(4, 5, *range(12, 24))
    answer = begin("run", [*words, "max_rejections=3", "checkpoint.every=5"])
    assert answer.code == 1
    assert answer.err.endswith(
        "kfac-run: error: the run diverged; its results until then are in run\n"
    )
    found = summary(tmp_path)
    assert (found["status"], found["iterations"], found["rejections"]) == ("diverged", 14, 5)
    assert found["final_iteration"] == 12  # the last evaluation; there is none at the end
    assert checkpoint_iterations(tmp_path / "run") == [10, 5]
    for kind in ("parameters", "average"):
        assert all(torch.isfinite(w).all() for w in parameters(tmp_path / "run")[kind])


def test_a_run_whose_every_step_is_rejected_ends_in_order(begin, words, tmp_path, not_finite):
    not_finite(*range(1, 25))
    answer = begin("run", [*words, "max_rejections=5", "evaluate_every=1"])
    assert answer.code == 1
    assert "Traceback" not in answer.err
    assert summary(tmp_path)["iterations"] == 5


def test_the_count_in_a_row_continues_in_a_resumed_run(
    begin, kfac_run, words, tmp_path, not_finite
):
    not_finite(*range(9, 24))
    begin("whole", [*words, "max_rejections=6", "checkpoint.every=5"])
    begin("run", [*words, "max_rejections=6", "iterations=11"])
    assert kfac_run("resume=run", "iterations=24", "checkpoint.every=5").code == 1
    assert summary(tmp_path)["iterations"] == 14
    assert metrics(tmp_path / "run") == metrics(tmp_path / "whole")


def test_a_diverged_run_can_be_given_more_rejections(begin, kfac_run, words, tmp_path, not_finite):
    not_finite(*range(12, 17))
    begin("run", [*words, "max_rejections=3", "checkpoint.every=5"])
    assert kfac_run("resume=run", "max_rejections=6").code == 0
    begin("whole", [*words, "max_rejections=6", "checkpoint.every=5"])
    assert differences(tmp_path / "run", tmp_path / "whole") == []


def test_without_rejections_the_run_ends_at_once_with_finite_parameters(begin, steep, tmp_path):
    answer = begin("run", [*steep, "polyak.start=0"])
    assert answer.code == 1
    assert "the run diverged" in answer.err
    found = summary(tmp_path)
    assert found["status"] == "diverged"
    assert 2 < found["iterations"] < 24
    rows = read_table(tmp_path / "run/metrics.csv")
    objectives = torch.tensor([row["objective"] for row in rows])
    assert torch.isfinite(objectives).tolist() == [True] * (len(rows) - 1) + [False]
    for kind in ("parameters", "average"):
        assert all(torch.isfinite(w).all() for w in parameters(tmp_path / "run")[kind])


def test_a_diverging_run_diverges_at_the_same_place_when_it_is_resumed(
    begin, kfac_run, steep, tmp_path
):
    begin("whole", steep)
    diverged_at = len(metrics(tmp_path / "whole"))
    begin("run", [*steep, f"iterations={diverged_at - 2}"])
    assert kfac_run("resume=run", "iterations=24").code == 1
    mine, theirs = parameters(tmp_path / "run"), parameters(tmp_path / "whole")
    for kind in ("parameters", "average"):
        assert all(torch.equal(a, b) for a, b in zip(mine[kind], theirs[kind], strict=True))
    assert repr(metrics(tmp_path / "run")) == repr(metrics(tmp_path / "whole"))


def test_a_diverged_run_without_a_checkpoint_cannot_be_resumed(begin, kfac_run, steep):
    begin("run", steep)
    answer = kfac_run("resume=run")
    assert answer.code == 1
    assert answer.err == (
        "kfac-run: error: run: has ended and holds no checkpoint to resume from\n"
    )


STEEPEST = [
    "optimizer=nesterov_sgd",
    "dataset.output=gaussian",
    "dataset.layer_sizes=[12,10,12]",
    "dataset.activations=[relu]",
    "optimizer.learning_rate=1000",
    "iterations=6",
]
"""The last of these iterations is the first whose parameters have an error that overflows."""


def test_a_run_whose_last_evaluation_is_not_finite_has_diverged(begin, tmp_path):
    write_cases(tmp_path / "cases.npz")
    words = [*overrides(tmp_path / "cases.npz", "nesterov_sgd"), "tensorboard=false", *STEEPEST]
    answer = begin("run", words)
    rows = read_table(tmp_path / "run/metrics.csv")
    assert all(math.isfinite(row["objective"]) for row in rows)  # no step ended the run
    assert answer.code == 1
    found = summary(tmp_path)
    assert (found["status"], found["iterations"]) == ("diverged", 6)
    assert found["reason"].startswith("train_error")
    assert "test_error" in found["reason"]
    assert found["reason"].endswith("no value in the data is the cause")
    assert f"the run diverged: {found['reason']}; its results until then are in run\n" in answer.err
    assert checkpoint_iterations(tmp_path / "run") == []


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_case_too_large_to_be_squared_is_named_as_the_cause(begin, tmp_path, part):
    write_cases(tmp_path / "cases.npz")
    arrays = dict(np.load(tmp_path / "cases.npz"))
    arrays |= {f"{name}_targets": arrays[f"{name}_inputs"].copy() for name in ("train", "test")}
    arrays[f"{part}_inputs"][7] = 1e30
    np.savez(tmp_path / "cases.npz", **arrays)
    words = [*overrides(tmp_path / "cases.npz"), "tensorboard=false", "dataset.output=gaussian"]
    words += ["dataset.activations=[linear,linear,linear]"]
    answer = begin("run", [*words, "schedule.initial=1", "schedule.full_at=1000", "iterations=1"])
    assert answer.code == 1
    found = summary(tmp_path)
    assert found["status"] == "diverged"
    assert f"{part}_error" in found["reason"]
    assert found["reason"] in " ".join(answer.out.split())  # it is wrapped
    assert checkpoint_iterations(tmp_path / "run") == [1]  # the parameters are not the cause
    assert found["reason"].endswith(
        f"the data are the cause: row 7 of {part}_inputs (counted from 0) has values up to 1e+30"
    )
