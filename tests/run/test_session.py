"""The session of a run: its settings reach the engine, and rejections are counted."""

from dataclasses import asdict, fields, replace

import numpy as np
import pytest
import torch

from kfac_cli.config.compose import load_config
from kfac_cli.data.dataset import Dataset
from kfac_cli.engine import KFACOptions, NesterovOptions, StepRecord, initial_parameters
from kfac_cli.run.batches import Cases, HostRows, draw_batch
from kfac_cli.run.session import make_session

SMALL = [
    "dataset=arrays",
    "dataset.file=cases.npz",
    "dataset.layer_sizes=[4,3,4]",
    "dataset.activations=[logistic]",
    "dataset.output=gaussian",
]
KFAC = {
    "activation_memory": 64,
    "inverse": "block_diagonal",
    "tikhonov": "exact",
    "pi": "spectral",
    "sigma_solver": "doubling",
    "l2_product": "refreshed",
    "fisher": "empirical",
    "samples": 3,
    "epsilon_max": 0.5,
    "lambda_initial": 2.0,
    "lambda_rule": "fixed",
    "gamma_initial": 0.5,
    "gamma_rule": "tied",
    "gamma_min": 0.01,
    "gamma_max": 2.0,
    "omega1": 0.9,
    "omega2": 0.8,
    "growth_max": 3.0,
    "rescaling": False,
    "learning_rate": 0.3,
    "alpha_scale": 0.5,
    "momentum": False,
    "mu": 0.7,
    "cg_steps": 4,
    "tau1": 0.5,
    "tau2": 0.75,
    "t1": 2,
    "t2": 12,
    "t3": 6,
    "refresh": "background",
    "refresh_delay": 3,
}
"""A value for each option of K-FAC that is not its default."""

NESTEROV = {
    "learning_rate": 0.5,
    "mu_max": 0.8,
    "mu_schedule": "fixed",
    "mu_final": 0.3,
    "final_iterations": 7,
}
CONDITIONS = {
    "inverse": ["optimizer=kfac_tridiag"],
    "sigma_solver": ["optimizer=kfac_tridiag"],
    "tikhonov": ["optimizer=kfac_diag"],
    "l2_product": ["optimizer=kfac_diag"],
    "rescaling": ["optimizer.momentum=false"],
    "learning_rate": ["optimizer.momentum=false", "optimizer.rescaling=false"],
    "t2": ["optimizer.t3=6"],
    "t3": ["optimizer.t2=12"],
    "refresh": ["optimizer=kfac_tridiag"],
    "refresh_delay": ["optimizer.refresh=background"],
}
"""Settings that another one requires."""


def session(*words):
    cases = np.random.default_rng(0).random((6, 4), dtype=np.float32)
    dataset = Dataset.autoencoder("arrays", cases, cases, None)
    return make_session(load_config([*SMALL, *words]), dataset, torch.device("cpu"))


@pytest.mark.parametrize("name", KFAC)
def test_every_setting_of_kfac_reaches_the_engine(name):
    word = f"optimizer.{name}={str(KFAC[name]).lower()}"
    options = session(*CONDITIONS.get(name, []), word).optimizer.options
    assert getattr(options, name) == KFAC[name] != getattr(KFACOptions(), name)


def test_no_setting_of_kfac_is_missing_above():
    assert KFAC.keys() == {f.name for f in fields(KFACOptions)} - {"l2", "chunk_size"}


def test_every_setting_of_the_baseline_reaches_the_engine():
    words = [f"optimizer.{name}={value}" for name, value in NESTEROV.items()]
    given = session("optimizer=nesterov_sgd", "iterations=9", "l2=0.5", "chunk_size=3", *words)
    options = {**NESTEROV, "l2": 0.5, "chunk_size": 3}
    assert given.optimizer.planned == 9
    found = asdict(given.optimizer.options)
    assert {name: found[name] for name in options} == options
    assert options.keys() == {f.name for f in fields(NesterovOptions)}


def test_the_general_settings_reach_it_too():
    options = session("l2=0.5", "chunk_size=3").optimizer.options
    assert (options.l2, options.chunk_size) == (0.5, 3)


@pytest.mark.parametrize("size", [4, 40])
def test_a_mini_batch_comes_in_random_order(size):
    """Of a part or all of the training set: every case is equally often first, and last.

    K-FAC takes the first for its statistics and the last for F. Within 5 standard errors.
    """
    cases, draws = torch.arange(40.0)[:, None], 2000
    generator = torch.Generator().manual_seed(0)
    batches = [draw_batch(Cases(HostRows(cases), None), size, generator)[0] for _ in range(draws)]
    assert all(len(batch.unique()) == size for batch in batches)
    for place in (0, -1):
        drawn = torch.stack([batch[place, 0] for batch in batches]).long()
        frequency = drawn.bincount(minlength=40) / draws
        assert (frequency - 1 / 40).abs().max() < 5 * (1 / 40 * 39 / 40 / draws) ** 0.5


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ([], ("sparse", 15)),
        (["dataset.connections=2"], ("sparse", 2)),
        (["dataset.initialization=glorot"], ("glorot",)),
        (["dataset.initialization=he"], ("he",)),
    ],
    ids=str,
)
def test_the_initialization_reaches_the_parameters_seeded(words, arguments):
    """The seed of the initial parameters is the first that is drawn from the run's."""
    first, again, other = session(*words), session(*words), session(*words, "seed=1")
    master = torch.Generator().manual_seed(0)
    seed = int(torch.randint(2**62, (), generator=master))
    generator = torch.Generator().manual_seed(seed)
    expected = initial_parameters(first.network, generator, *arguments)
    for mine, same, wanted in zip(
        first.optimizer.parameters, again.optimizer.parameters, expected, strict=True
    ):
        assert torch.equal(mine, wanted.float())
        assert torch.equal(mine, same)
    assert not torch.equal(first.optimizer.parameters[0], other.optimizer.parameters[0])


# Rejections


TAKEN = StepRecord(objective=1.0, error=1.0)
REJECTED = replace(TAKEN, outcome="rejected")
REVERTED = replace(REJECTED, outcome="reverted")


@pytest.mark.parametrize(
    ("records", "in_a_row"),
    [
        ([REJECTED, REJECTED], 2),
        ([REJECTED, TAKEN], 1),  # that step may still be reverted
        ([REJECTED, TAKEN, TAKEN], 0),
        ([REJECTED, TAKEN, REVERTED, TAKEN, REVERTED], 3),  # no step was kept
        ([TAKEN, TAKEN, REJECTED], 1),
        ([REJECTED, TAKEN, REJECTED], 1),  # the step before it was kept
    ],
)
def test_rejections_are_in_a_row_until_a_step_is_not_reverted(monkeypatch, records, in_a_row):
    run = session()
    following = iter(records)
    monkeypatch.setattr(run.optimizer, "step", lambda *_, **__: next(following))
    for _ in records:
        run.step()
    assert run.rejections_in_a_row == in_a_row
    assert run.rejections == sum(record.outcome != "accepted" for record in records)


# Steps that are undone


def outcomes(run, monkeypatch, *given):
    """Let the optimizer's steps end in these outcomes, each moving θ by 1 if it is accepted."""
    following = iter(given)

    def step(*_, **__):
        record = replace(TAKEN, outcome=next(following))
        if record.outcome == "accepted":
            run.optimizer.parameters = [p + 1 for p in run.optimizer.parameters]
        run.optimizer.iteration += 1
        return record

    monkeypatch.setattr(run.optimizer, "step", step)
    return [run.step() for _ in given]


@pytest.mark.parametrize("start", [0, 1000])
@pytest.mark.parametrize("between", [[], ["rejected"]])
def test_the_average_forgets_a_reverted_step(monkeypatch, start, between):
    kept, run = (session(f"polyak.start={start}") for _ in range(2))
    outcomes(kept, monkeypatch, "accepted", *between, "accepted")
    outcomes(run, monkeypatch, "accepted", *between, "accepted", "accepted", "reverted")
    for mine, theirs in zip(run.average.parameters, kept.average.parameters, strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("outcome", ["rejected", "reverted"])
def test_a_run_diverges_if_its_optimizer_takes_no_step_and_does_not_adapt(monkeypatch, outcome):
    baseline, kfac = session("optimizer=nesterov_sgd"), session()
    for run in (baseline, kfac):
        outcomes(run, monkeypatch, "accepted", outcome)
    assert (baseline.diverged, baseline.rejections) == (True, 0)
    assert (kfac.diverged, kfac.rejections) == (False, 1)
