"""Whole runs of a classifier: labels in, error rate out."""

import io
import json
import math

import numpy as np
import pytest
import torch
from soak.compare import evaluations

from kfac_cli.config.compose import load_config
from kfac_cli.recording import picture_sink
from kfac_cli.recording.csv_table import read_table
from kfac_cli.recording.progress import Progress
from kfac_cli.run.runner import run

CENTRES = np.array([[3, 0, 0, 0], [0, 3, 0, 0], [0, 0, 3, 0]])


@pytest.fixture
def overrides(tmp_path):
    """Three classes of points in four dimensions, 90 to train on and 30 to test on."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 120)
    points = (CENTRES[labels] + generator.normal(size=(120, 4))).astype(np.float32)
    file = tmp_path / "points.npz"
    np.savez(
        file,
        train_inputs=points[:90],
        train_targets=labels[:90],
        test_inputs=points[90:],
        test_targets=labels[90:],
    )
    return [
        "dataset=arrays",
        f"dataset.file={file}",
        "dataset.layer_sizes=[4,8,3]",
        "dataset.activations=[relu]",
        "dataset.output=categorical",
        "schedule.initial=30",
        "schedule.full_at=8",
        "iterations=12",
        "evaluate_every=4",
        "polyak.start=6",
        "optimizer.lambda_initial=1",
        "tensorboard=false",
    ]


def run_in(folder, overrides):
    folder.mkdir()
    config = load_config(overrides)
    with Progress(config.iterations, io.StringIO()) as progress:
        return run(config, folder, progress)


def predicted(folder, points):
    """The classes that the saved parameters give to points (n, 4)."""
    first, second = torch.load(folder / "parameters.pt", weights_only=True)["parameters"]
    hidden = torch.relu(points @ first[:, :-1].T + first[:, -1])
    return (hidden @ second[:, :-1].T + second[:, -1]).argmax(1)


def test_the_reported_error_is_the_error_rate(overrides, tmp_path):
    assert run_in(tmp_path / "run", overrides).status == "finished"
    arrays = {name: torch.from_numpy(a) for name, a in np.load(tmp_path / "points.npz").items()}
    last = read_table(tmp_path / "run/evaluations.csv")[-1]
    for part in ("train", "test"):
        classes = predicted(tmp_path / "run", arrays[f"{part}_inputs"])
        wrong = float((classes != arrays[f"{part}_targets"]).double().mean())
        assert last[f"{part}_error"] == pytest.approx(wrong)
    assert last["train_error_best"] < 0.1  # the classes overlap by little
    assert last["train_log_likelihood"] > -math.log(3)


def test_labels_and_their_rows_of_probabilities_give_the_same_run(overrides, tmp_path):
    run_in(tmp_path / "labels", overrides)
    arrays = dict(np.load(tmp_path / "points.npz"))
    for name in ("train_targets", "test_targets"):
        arrays[name] = np.eye(3)[arrays[name]]
    np.savez(tmp_path / "points.npz", **arrays)
    run_in(tmp_path / "rows", overrides)
    labels, rows = (evaluations(tmp_path / name) for name in ("labels", "rows"))
    assert labels == rows


@pytest.mark.parametrize("optimizer", ["kfac_tridiag", "kfac_diag", "nesterov_sgd", "heskes"])
def test_every_optimizer_trains_a_classifier(overrides, tmp_path, optimizer):
    others = [o for o in overrides if not o.startswith("optimizer.")]
    assert run_in(tmp_path / "run", [*others, f"optimizer={optimizer}"]).status == "finished"
    metrics = read_table(tmp_path / "run/metrics.csv")
    assert metrics[-1]["objective"] < metrics[0]["objective"]


def test_heskes_method_keeps_its_damping_and_its_rate(overrides, tmp_path):
    others = [o for o in overrides if not o.startswith("optimizer.")]
    run_in(tmp_path / "run", [*others, "optimizer=heskes", "optimizer.learning_rate=0.25"])
    rows = read_table(tmp_path / "run/metrics.csv")
    values = {(row["lambda"], row["gamma"], row["alpha"], row["mu"]) for row in rows}
    assert values == {(0.01, 0.1, 0.25, None)}


def test_the_picture_of_a_classifier_says_error_rate_and_shows_no_reconstructions(
    overrides, tmp_path, monkeypatch
):
    drawn = []
    monkeypatch.setattr(picture_sink, "draw_run", lambda *arguments: drawn.append(arguments))
    run_in(tmp_path / "run", overrides)
    [(*_, originals, reconstructions, shape, _, name)] = drawn
    assert (originals, reconstructions, shape, name) == (None, None, None, "error rate")


def test_the_picture_of_a_regression_says_squared_error(overrides, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(picture_sink, "draw_run", lambda *arguments: drawn.append(arguments))
    arrays = dict(np.load(tmp_path / "points.npz"))
    arrays["train_targets"], arrays["test_targets"] = (
        np.eye(3)[arrays[name]] for name in ("train_targets", "test_targets")
    )
    np.savez(tmp_path / "points.npz", **arrays)
    run_in(tmp_path / "run", [*overrides, "dataset.output=gaussian"])
    assert drawn[0][-1] == "squared error"


def test_a_wrong_label_ends_the_run_before_it_begins(kfac_run, overrides, tmp_path):
    arrays = dict(np.load(tmp_path / "points.npz"))
    arrays["test_targets"][4] = 3
    np.savez(tmp_path / "points.npz", **arrays)
    answer = kfac_run(*overrides, "hydra.run.dir=run")
    assert answer.code == 1
    line = answer.err.splitlines()[-1]
    assert line.startswith("kfac-run: error: ")
    assert "test_targets: 3 in row 4 (counted from 0); expected a label" in line
    assert json.loads((tmp_path / "run/summary.json").read_text())["status"] == "failed"
    assert not (tmp_path / "run/metrics.csv").exists()
