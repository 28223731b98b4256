"""Mini-batches that grow with the noise of the gradient: steps, sessions and whole runs."""

import io
import math

import numpy as np
import pytest
import torch
from engine import oracles
from engine.model.test_gradient_noise import single_gradients

from kfac_cli.config.compose import load_config
from kfac_cli.data.registry import load_dataset
from kfac_cli.engine import KFAC, KFACOptions, NesterovOptions, NesterovSGD, Network
from kfac_cli.recording.csv_table import read_table
from kfac_cli.recording.progress import Progress
from kfac_cli.run.runner import run
from kfac_cli.run.session import make_session

L2 = 0.3
ARCHITECTURE = oracles.Architecture((3, 4, 2), ("tanh",), "bernoulli")
MAKERS = {
    "kfac": lambda *setup: KFAC(
        *setup, KFACOptions(l2=L2, lambda_initial=1.0, chunk_size=4), torch.Generator()
    ),
    "nesterov": lambda *setup: NesterovSGD(*setup, NesterovOptions(l2=L2, chunk_size=4)),
}


def optimizer_on(small, make):
    parameters = oracles.unvec(small.theta, small.architecture.layer_sizes)
    return make(Network(*small.architecture), parameters)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_step_measures_its_noise_scale_where_it_takes_the_gradient(make):
    small = oracles.problem(ARCHITECTURE, cases=9)
    optimizer = optimizer_on(small, make)
    record = optimizer.step(small.inputs, small.targets, measure_noise=True)
    whole = oracles.gradient(ARCHITECTURE, small.theta, small.inputs, small.targets, L2)
    variance = single_gradients(small).var(dim=0).sum()
    assert record.noise_scale == pytest.approx(float(variance / whole.square().sum()))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_measuring_changes_nothing_else(make):
    small = oracles.problem(ARCHITECTURE, cases=9)
    with_noise, without = (optimizer_on(small, make) for _ in range(2))
    for _ in range(4):
        measured = with_noise.step(small.inputs, small.targets, measure_noise=True)
        plain = without.step(small.inputs, small.targets)
        assert plain.noise_scale is None
        assert measured.objective == plain.objective
    for mine, theirs in zip(with_noise.parameters, without.parameters, strict=True):
        assert torch.equal(mine, theirs)


@pytest.fixture
def overrides(tmp_path):
    """A 12-6-3-6-12 autoencoder on 200 noisy cases of rank 3, batches from 10 cases on."""
    generator = np.random.default_rng(0)
    cases = generator.normal(size=(250, 3)) @ generator.normal(size=(3, 12))
    cases = (1 / (1 + np.exp(-cases))).astype(np.float32)
    np.savez(tmp_path / "cases.npz", train_inputs=cases[:200], test_inputs=cases[200:])
    return [
        "dataset=arrays",
        f"dataset.file={tmp_path}/cases.npz",
        "dataset.layer_sizes=[12,6,3,6,12]",
        "dataset.activations=[logistic,linear,logistic]",
        "dataset.output=bernoulli",
        "schedule=adaptive",
        "schedule.initial=10",
        "optimizer.lambda_initial=1",
        "iterations=25",
        "tensorboard=false",
    ]


def table_of(folder, overrides):
    folder.mkdir()
    config = load_config(overrides)
    with Progress(config.iterations, io.StringIO()) as progress:
        assert run(config, folder, progress).status == "finished"
    return read_table(folder / "metrics.csv")


@pytest.mark.parametrize("theta", [0.5, 0.9])
def test_every_batch_follows_from_the_one_before(overrides, tmp_path, theta):
    rows = table_of(tmp_path / "run", [*overrides, f"schedule.theta={theta}"])
    sizes = [row["batch_size"] for row in rows]
    expected = [10]
    for row in rows[:-1]:
        noise = row["noise_scale"]
        assert (noise is None) == (row["batch_size"] == 200)  # the maximum: nothing to measure
        needed = 0 if noise is None else math.ceil(min(noise / theta**2, 200))
        expected.append(max(expected[-1], needed))
    assert sizes == expected
    assert sizes[-1] > 10


def test_a_smaller_theta_wants_larger_batches(overrides, tmp_path):
    small, large = (
        table_of(tmp_path / name, [*overrides, f"schedule.theta={theta}"])[-1]["cases"]
        for name, theta in (("small", 0.4), ("large", 1.0))
    )
    assert small > 1.5 * large


def test_batches_stop_growing_at_the_maximum(overrides, tmp_path):
    rows = table_of(tmp_path / "run", [*overrides, "schedule.theta=0.1", "schedule.maximum=70"])
    assert max(row["batch_size"] for row in rows) == rows[-1]["batch_size"] == 70


def test_the_baseline_can_use_it_too(overrides, tmp_path):
    others = [o for o in overrides if not o.startswith("optimizer.")]
    rows = table_of(tmp_path / "run", [*others, "optimizer=nesterov_sgd", "schedule.theta=0.1"])
    assert rows[-1]["batch_size"] > 10


def test_a_restored_session_continues_with_the_same_size(overrides):
    config = load_config([*overrides, "schedule.theta=0.5"])
    dataset = load_dataset(config.dataset, None)
    session, restored = (make_session(config, dataset, torch.device("cpu")) for _ in range(2))
    for _ in range(12):
        session.step()
    assert session.schedule.size(13) > 10
    restored.load_state_dict(session.state_dict())
    for _ in range(3):
        assert restored.step() == session.step()
