"""The precision of the user's data reaches the run, and its limits are told."""

import numpy as np
import pytest
import torch
from soak.compare import metrics

from kfac_cli.config.compose import load_config
from kfac_cli.data.registry import load_dataset
from kfac_cli.errors import UserError
from kfac_cli.recording.csv_table import read_table
from kfac_cli.run.overflow import refuse_overflow

REGRESSION = [
    "dataset=arrays",
    "dataset.file=file.npz",
    "dataset.layer_sizes=[3,1]",
    "dataset.activations=[]",
    "dataset.output=gaussian",
    "schedule=fixed",
    "schedule.size=400",
    "l2=0",
    "tensorboard=false",
    "hydra.run.dir=run",
]


@pytest.fixture
def write(tmp_path):
    """Writes a regression on 400 normal inputs, y = offset + scale · X[1,2,3]ᵀ."""

    def call(offset=0.0, scale=1.0):
        inputs = np.random.default_rng(0).normal(size=(400, 3))
        targets = offset + scale * (inputs @ [[1.0], [2.0], [3.0]])
        np.savez(
            tmp_path / "file.npz",
            train_inputs=inputs,
            train_targets=targets,
            test_inputs=inputs[:50],
            test_targets=targets[:50],
        )

    return call


def test_targets_with_a_large_mean_are_fitted_exactly_in_float64(kfac_run, write, tmp_path):
    write(offset=1e8)
    assert kfac_run(*REGRESSION, "dtype=float64", "iterations=100").code == 0
    last = read_table(tmp_path / "run/evaluations.csv")[-1]
    for name in ("train_error", "train_error_average", "test_error"):
        assert last[name] < 1e-12  # least squares in float64: 3e-15
    assert metrics(tmp_path / "run")[-1]["error"] < 1e-12


def test_in_float32_a_warning_names_the_array_and_the_way_out(kfac_run, write, tmp_path):
    write(offset=1e8)
    assert kfac_run(*REGRESSION, "iterations=1").code == 0
    log = (tmp_path / "run/run.log").read_text()
    [line] = [line for line in log.splitlines() if "rounding" in line]
    assert "WARNING" in line
    assert "file.npz: train_targets: rounding to float32 moves column 0" in line
    assert "dtype=float64" in line
    assert "inputs" not in line


@pytest.mark.parametrize(("offset", "dtype"), [(0, "float32"), (1e8, "float64")])
def test_without_a_loss_there_is_no_warning(kfac_run, write, tmp_path, offset, dtype):
    write(offset=offset)
    assert kfac_run(*REGRESSION, "iterations=1", f"dtype={dtype}").code == 0
    assert "rounding" not in (tmp_path / "run/run.log").read_text()


def test_targets_whose_loss_overflows_are_refused_by_their_size(kfac_run, write):
    write(scale=1e22)
    answer = kfac_run(*REGRESSION, "iterations=3")
    assert answer.code == 1
    line = answer.err.splitlines()[-1]
    assert "of train_targets (counted from 0) has values up to 1.06e+23" in line
    assert "overflows float32" in line
    assert "dtype=float64" in line
    assert kfac_run(*REGRESSION, "iterations=1", "dtype=float64", "hydra.run.dir=64").code == 0


@pytest.mark.parametrize("chunk_size", [1, 400, "auto"])
def test_the_sum_over_a_chunk_counts_too(write, tmp_path, monkeypatch, chunk_size):
    """400 squares of about 5e36 each exceed the largest float32, 3.4e38; one does not."""
    write(scale=6e17)
    monkeypatch.chdir(tmp_path)
    config = load_config([*REGRESSION[:-1], f"chunk_size={chunk_size}"])
    dataset = load_dataset(config.dataset, tmp_path)
    assert torch.isinf(dataset.train_targets.square().sum()) == True  # noqa: E712
    if chunk_size == 1:
        refuse_overflow(config, dataset, torch.device("cpu"))
    else:
        with pytest.raises(UserError, match="overflows float32"):
            refuse_overflow(config, dataset, torch.device("cpu"))


def test_a_run_of_another_dtype_starts_from_the_rounded_data(kfac_run, write):
    write()
    words = [*REGRESSION[:-1], "iterations=2"]
    assert kfac_run(*words, "dtype=float64", "hydra.run.dir=first").code == 0
    words[-1] = "iterations=4"
    assert kfac_run(*words, "start_from=first", "dtype=float32", "hydra.run.dir=second").code == 0
    write(scale=1.5)
    answer = kfac_run(*words, "start_from=first", "dtype=float32", "hydra.run.dir=third")
    assert "train_targets has the same shape, but other values" in answer.err


def test_data_that_differ_below_float32_are_noticed_on_resuming(kfac_run, write):
    write()
    assert kfac_run(*REGRESSION, "dtype=float64", "iterations=2").code == 0
    write(offset=1e-12)
    answer = kfac_run("resume=run", "iterations=3")
    assert "train_targets has the same shape, but other values" in answer.err
