"""Whole runs of the loop on a small problem, in this process."""

import io
import json
import os
import signal

import numpy as np
import pytest
import torch

from kfac_cli.config.compose import load_config
from kfac_cli.engine.curvature import stein
from kfac_cli.parameters_file import read_parameters
from kfac_cli.recording import picture_sink
from kfac_cli.recording.csv_table import read_table
from kfac_cli.recording.metrics import EVALUATION_COLUMNS, METRIC_COLUMNS
from kfac_cli.recording.progress import Progress
from kfac_cli.recording.tensorboard import TensorBoardLog
from kfac_cli.run import evaluation
from kfac_cli.run.runner import run
from kfac_cli.run.session import Session

OPTIMIZERS = ["kfac_tridiag", "kfac_diag", "nesterov_sgd"]


@pytest.fixture
def arrays(tmp_path):
    """Overrides for a 12-6-3-6-12 autoencoder on 80 cases of rank 3."""
    generator = np.random.default_rng(0)
    hidden = generator.normal(size=(100, 3)) @ generator.normal(size=(3, 12))
    cases = (1 / (1 + np.exp(-hidden))).astype(np.float32)
    file = tmp_path / "cases.npz"
    np.savez(file, train_inputs=cases[:80], test_inputs=cases[80:])
    return [
        "dataset=arrays",
        f"dataset.file={file}",
        "dataset.layer_sizes=[12,6,3,6,12]",
        "dataset.activations=[logistic,linear,logistic]",
        "dataset.output=bernoulli",
        "dataset.image_shape=[3,4]",
        "schedule.initial=20",
        "schedule.full_at=8",
        "iterations=10",
        "evaluate_every=4",
        "polyak.start=5",
    ]


def run_in(folder, overrides):
    folder.mkdir()
    config = load_config(overrides)
    with Progress(config.iterations, io.StringIO()) as progress:
        return run(config, folder, progress)


def parameters(folder):
    return torch.load(folder / "parameters.pt", weights_only=True)


def deterministic(folder):
    """The metrics table without its times."""
    rows = read_table(folder / "metrics.csv")
    return [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in rows]


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_leaves_everything_in_its_folder(arrays, tmp_path, optimizer):
    folder = tmp_path / "run"
    result = run_in(folder, [*arrays, f"optimizer={optimizer}"])
    assert result.status == "finished"
    metrics = read_table(folder / "metrics.csv")
    assert [row["iteration"] for row in metrics] == list(range(1, 11))
    assert list(metrics[0]) == list(METRIC_COLUMNS)
    assert {row["outcome"] for row in metrics} == {"accepted"}
    predicted = [row["model_change"] for row in metrics]
    assert all((change is not None and change < 0) == ("kfac" in optimizer) for change in predicted)
    assert [row["batch_size"] for row in metrics][:3] == [20, 24, 29]
    assert metrics[-1]["batch_size"] == 80
    assert metrics[-1]["cases"] == sum(row["batch_size"] for row in metrics)
    times = ("optimizer_seconds", "evaluation_seconds", "logging_seconds")
    assert sum(metrics[-1][name] for name in times) <= metrics[-1]["seconds"]

    evaluations = read_table(folder / "evaluations.csv")
    assert list(evaluations[0]) == list(EVALUATION_COLUMNS)
    assert [row["iteration"] for row in evaluations] == [4, 8, 10]
    for row in evaluations:
        step = metrics[row["iteration"] - 1]
        assert row["cases"] == step["cases"]
        assert row["seconds"] >= step["seconds"]
        assert row["optimizer_seconds"] == step["optimizer_seconds"]
        assert row["train_error_best"] == min(row["train_error"], row["train_error_average"])
    assert evaluations[0]["train_error"] == evaluations[0]["train_error_average"]
    assert evaluations[-1]["train_error"] != evaluations[-1]["train_error_average"]

    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "finished"
    assert summary["best_train_error"] == result.best_train_error
    assert result.best_train_error == min(row["train_error_best"] for row in evaluations)
    assert {"torch", "python", "thread_count", "matmul", "device", "peak_memory"} <= set(summary)
    assert sum(summary["numerical_fallbacks"].values()) == 0

    saved = parameters(folder)
    assert [tuple(w.shape) for w in saved["parameters"]] == [(6, 13), (3, 7), (6, 4), (12, 7)]
    assert len(saved["average"]) == len(saved["best"]) == 4
    last = evaluations[-1]
    assert saved["errors"]["iterate"] == {
        name: last[name] for name in ("iteration", "train_error", "test_error")
    }
    assert saved["errors"]["average"]["test_error"] == last["test_error_average"]
    assert (folder / "run.png").read_bytes().startswith(b"\x89PNG")
    assert list((folder / "tensorboard").iterdir())


def test_the_summary_counts_the_fallbacks_of_the_run(arrays, tmp_path, monkeypatch):
    monkeypatch.setattr(stein, "MAX_DOUBLINGS", 1)
    run_in(tmp_path / "run", [*arrays, "optimizer=kfac_tridiag", "optimizer.sigma_solver=doubling"])
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["numerical_fallbacks"]["unconverged_doublings"] > 0


def test_kfac_trains_and_the_tables_say_what_the_saved_parameters_give(arrays, tmp_path):
    folder = tmp_path / "run"
    run_in(folder, [*arrays, "optimizer.lambda_initial=1"])
    evaluations = read_table(folder / "evaluations.csv")
    assert evaluations[-1]["train_error"] < 0.5 * read_table(folder / "metrics.csv")[0]["error"]
    saved = parameters(folder)
    cases = torch.from_numpy(np.load(tmp_path / "cases.npz")["train_inputs"])
    error = float((outputs(saved["parameters"], cases) - cases).square().sum(1).mean())
    assert evaluations[-1]["train_error"] == pytest.approx(error, rel=1e-5)


def outputs(weights, cases):
    """Reconstructions by the saved parameters."""
    activities = cases
    for index, w in enumerate(weights):
        activities = activities @ w[:, :-1].T + w[:, -1]
        activities = activities if index == 1 else torch.sigmoid(activities)
    return activities


@pytest.fixture
def worse_at_the_end(monkeypatch):
    """The last iterate, of iteration 10, and its average are far from good ones."""
    step = Session.step

    def spoiled(self):
        record = step(self)
        if self.iteration == 10:
            self.optimizer.parameters = [3 * w for w in self.optimizer.parameters]
            self.average.parameters = [5 * w for w in self.optimizer.parameters]
        return record

    monkeypatch.setattr(Session, "step", spoiled)


def test_the_best_parameters_are_kept_beside_the_last(arrays, tmp_path, worse_at_the_end):
    folder = tmp_path / "run"
    result = run_in(folder, arrays)
    summary, saved = json.loads((folder / "summary.json").read_text()), parameters(folder)
    assert (summary["best_iteration"], saved["iteration"]) == (8, 10)
    assert saved["errors"]["best"] == {
        "iteration": 8,
        "train_error": summary["best_train_error"],
        "test_error": summary["best_test_error"],
        "kind": summary["best_parameters"],
    }
    cases = torch.from_numpy(np.load(tmp_path / "cases.npz")["train_inputs"])
    for found in (saved["best"], read_parameters(folder / "parameters.pt")[1]):
        error = float((outputs(found, cases) - cases).square().sum(1).mean())
        assert error == pytest.approx(result.best_train_error, rel=1e-5)
    assert result.best_train_error < saved["errors"]["iterate"]["train_error"]


def test_the_picture_shows_the_best_parameters_and_tensorboard_the_latest(
    arrays, tmp_path, worse_at_the_end, monkeypatch
):
    drawn, shown = [], {}
    monkeypatch.setattr(picture_sink, "draw_run", lambda *arguments: drawn.append(arguments))
    monkeypatch.setattr(
        TensorBoardLog, "images", lambda self, k, _, made, __: shown.update({k: made})
    )
    run_in(tmp_path / "run", arrays)
    saved = parameters(tmp_path / "run")
    cases = torch.from_numpy(np.load(tmp_path / "cases.npz")["test_inputs"])[:15]
    torch.testing.assert_close(drawn[0][4].cpu(), outputs(saved["best"], cases))
    torch.testing.assert_close(shown[10].cpu(), outputs(saved["parameters"], cases))
    torch.testing.assert_close(shown[8], drawn[0][4])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_same_seed_gives_the_same_run_and_another_seed_another(arrays, tmp_path, optimizer):
    overrides = [*arrays, f"optimizer={optimizer}"]
    run_in(tmp_path / "a", overrides)
    run_in(tmp_path / "b", overrides)
    run_in(tmp_path / "c", [*overrides, "seed=1"])
    assert deterministic(tmp_path / "a") == deterministic(tmp_path / "b")
    for mine, theirs in zip(
        parameters(tmp_path / "a")["parameters"],
        parameters(tmp_path / "b")["parameters"],
        strict=True,
    ):
        assert torch.equal(mine, theirs)
    assert deterministic(tmp_path / "a") != deterministic(tmp_path / "c")


def test_optimizers_under_one_seed_share_the_start_and_the_first_mini_batch(arrays, tmp_path):
    first = {}
    for optimizer in OPTIMIZERS:
        run_in(tmp_path / optimizer, [*arrays, f"optimizer={optimizer}"])
        first[optimizer] = deterministic(tmp_path / optimizer)[0]["objective"]
    assert len(set(first.values())) == 1


def test_the_chunk_size_changes_nothing_beyond_rounding(arrays, tmp_path):
    overrides = [*arrays, "dtype=float64"]
    run_in(tmp_path / "whole", overrides)
    run_in(tmp_path / "cut", [*overrides, "chunk_size=7"])
    whole, cut = deterministic(tmp_path / "whole"), deterministic(tmp_path / "cut")
    for mine, theirs in zip(whole, cut, strict=True):
        assert mine["objective"] == pytest.approx(theirs["objective"], rel=1e-9)
        assert mine["alpha"] == pytest.approx(theirs["alpha"], rel=1e-6)


def test_reaching_the_target_ends_the_run(arrays, tmp_path):
    result = run_in(tmp_path / "run", [*arrays, "target_error=1e6"])
    assert (result.status, result.iterations) == ("target reached", 4)
    row = read_table(tmp_path / "run/evaluations.csv")[0]
    costs = ("iteration", "cases", "seconds", "optimizer_seconds")
    assert target(tmp_path / "run") == {
        "error": 1e6,
        "reached": True,
        **{name: row[name] for name in costs},
    }


def target(folder):
    return json.loads((folder / "summary.json").read_text())["target"]


@pytest.mark.parametrize(("limit", "iterations"), [([], 10), (["max_seconds=1e-9"], 1)])
def test_a_target_that_was_not_reached_is_the_status(arrays, tmp_path, limit, iterations):
    result = run_in(tmp_path / "run", [*arrays, "target_error=0", *limit])
    assert (result.status, result.iterations) == ("target not reached", iterations)
    assert json.loads((tmp_path / "run/summary.json").read_text())["status"] == result.status
    found = target(tmp_path / "run")
    assert (found.pop("error"), found.pop("reached")) == (0, False)
    assert set(found.values()) == {None}


def test_without_a_target_the_summary_has_none(arrays, tmp_path):
    run_in(tmp_path / "run", [*arrays, "iterations=1"])
    assert target(tmp_path / "run") is None


def test_the_time_limit_ends_the_run_with_an_evaluation(arrays, tmp_path):
    result = run_in(tmp_path / "run", [*arrays, "max_seconds=1e-9"])
    assert (result.status, result.iterations) == ("time limit reached", 1)
    assert [row["iteration"] for row in read_table(tmp_path / "run/evaluations.csv")] == [1]


def test_the_limit_of_optimizer_seconds_counts_the_steps_of_all_processes(arrays, tmp_path):
    folder = tmp_path / "run"
    long = [*arrays, "iterations=100000", "evaluate_every=1"]  # evaluating takes longer than steps
    result = run_in(folder, [*long, "max_optimizer_seconds=0.05"])
    assert result.status == "time limit reached"
    spent = [row["optimizer_seconds"] for row in read_table(folder / "metrics.csv")]
    assert spent[-1] >= 0.05
    assert all(seconds < 0.05 for seconds in spent[:-1])


def test_a_diverging_run_says_so_and_saves_finite_parameters(arrays, tmp_path):
    setup = [
        "optimizer=nesterov_sgd",
        "optimizer.learning_rate=1000",
        "dataset.output=gaussian",
        "dataset.activations=[linear,linear,linear]",
        "iterations=200",
    ]
    result = run_in(tmp_path / "run", [*arrays, *setup])
    assert result.status == "diverged"
    assert result.iterations < 200
    assert all(torch.isfinite(w).all() for w in parameters(tmp_path / "run")["parameters"])
    assert json.loads((tmp_path / "run/summary.json").read_text())["status"] == "diverged"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_the_step_in_progress(arrays, tmp_path, monkeypatch, number):
    step = Session.step

    def step_with_signal(self):
        if self.iteration == 2:
            os.kill(os.getpid(), number)
        return step(self)

    monkeypatch.setattr(Session, "step", step_with_signal)
    result = run_in(tmp_path / "run", arrays)
    assert (result.status, result.iterations, result.signal) == ("interrupted", 3, number)
    assert len(read_table(tmp_path / "run/metrics.csv")) == 3
    assert len(parameters(tmp_path / "run")["parameters"]) == 4
    assert json.loads((tmp_path / "run/summary.json").read_text())["status"] == "interrupted"


def test_a_failing_tensorboard_or_figure_does_not_end_a_run(arrays, tmp_path, monkeypatch, caplog):
    def fail(*arguments, **keywords):
        raise RuntimeError("no room")

    monkeypatch.setattr(TensorBoardLog, "evaluation", fail)
    monkeypatch.setattr(picture_sink, "draw_run", fail)
    assert run_in(tmp_path / "run", arrays).status == "finished"
    assert [
        r.getMessage() for r in caplog.records if "continuing without it" in r.getMessage()
    ] == [
        "TensorBoard failed; continuing without it: no room",
        "figure failed; continuing without it: no room",
    ]


def test_evaluating_an_average_that_is_the_iterate_costs_nothing(arrays, tmp_path, monkeypatch):
    calls = []
    evaluate = evaluation.evaluate
    monkeypatch.setattr(evaluation, "evaluate", lambda *args: calls.append(1) or evaluate(*args))
    run_in(tmp_path / "run", [*arrays, "polyak.start=100"])
    assert len(calls) == 2 * 3


def test_a_single_layer_network_trains(arrays, tmp_path):
    shape = ["dataset.layer_sizes=[12,12]", "dataset.activations=[]"]
    assert run_in(tmp_path / "run", [*arrays, *shape]).status == "finished"
