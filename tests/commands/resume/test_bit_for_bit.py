"""A run that was killed or stopped ends, resumed, bit for bit where an uninterrupted one ends."""

import itertools
import os
import signal
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from soak.compare import differences
from soak.experiment import OPTIMIZERS, TORCH_OPTIMIZERS, overrides

from kfac_cli.checkpoint.folder import checkpoint_iterations
from kfac_cli.config.choices import choices
from kfac_cli.recording.csv_table import read_table
from kfac_cli.run import recorder, runner
from kfac_cli.run.session import Session
from tests.commands.resume.helpers import KilledError, start


@pytest.mark.parametrize(
    ("optimizer", "iteration"),
    [*itertools.product(OPTIMIZERS, (1, 4, 9, 13)), *((name, 9) for name in TORCH_OPTIMIZERS)],
)
def test_a_killed_run_ends_where_an_uninterrupted_one_ends(
    kfac_run, file, tmp_path, die_in_step, uninterrupted, optimizer, iteration
):
    words = [*overrides(file, optimizer), "checkpoint.every=3"]
    die_in_step(iteration)
    with pytest.raises(KilledError):
        start(tmp_path / "killed", words)
    die_in_step(None)
    answer = kfac_run("resume=killed")
    assert answer.code == 0, answer.err
    assert f"resuming from iteration {iteration // 3 * 3}\n" in answer.err
    assert differences(tmp_path / "killed", uninterrupted(words)) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("iteration", [5, 8, 24])
def test_a_run_ended_by_a_signal_resumes_from_that_step(
    kfac_run, words, tmp_path, monkeypatch, number, iteration, uninterrupted
):
    """Also if an evaluation was due when the signal came."""
    step = Session.step

    def interrupted(self):
        if self.iteration == iteration - 1:
            os.kill(os.getpid(), number)
        return step(self)

    monkeypatch.setattr(Session, "step", interrupted)
    result = start(tmp_path / "stopped", words)
    assert (result.status, result.signal) == ("interrupted", number)
    assert checkpoint_iterations(tmp_path / "stopped") == [iteration]
    monkeypatch.setattr(Session, "step", step)
    assert kfac_run("resume=stopped").code == 0
    whole = uninterrupted(words)
    assert differences(tmp_path / "stopped", whole) == []


def test_an_evaluation_after_the_checkpoint_of_its_iteration_counts(
    kfac_run, words, tmp_path, monkeypatch, die_in_step, uninterrupted
):
    """A signal stops the run before the evaluation at 8; resumed, it is killed in the next step."""
    step = Session.step

    def interrupted(self):
        if self.iteration == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self)

    monkeypatch.setattr(Session, "step", interrupted)
    start(tmp_path / "run", words)
    die_in_step(8)
    with pytest.raises(KilledError):
        kfac_run("resume=run")
    assert [row["iteration"] for row in read_table(tmp_path / "run/evaluations.csv")] == [4, 8]
    assert checkpoint_iterations(tmp_path / "run") == [8]
    die_in_step(None)
    assert kfac_run("resume=run").code == 0
    assert "no rows" not in (tmp_path / "run/run.log").read_text()
    assert differences(tmp_path / "run", uninterrupted(words)) == []


@pytest.mark.parametrize("best_at", [4, 8, 24])
def test_the_best_parameters_survive(kfac_run, words, tmp_path, monkeypatch, die_in_step, best_at):
    """With errors that are lowest at one iteration, also if that was before the checkpoint."""

    row_of = runner.evaluation_row

    def told(session, evaluation, times):
        errors = [float(abs(session.iteration - best_at) + more) for more in (1, 2)]
        names = ("train_error", "train_error_average", "train_error_best")
        told = dict(zip(names, [*errors, errors[0]], strict=True))
        return row_of(session, evaluation, times) | told

    monkeypatch.setattr(runner, "evaluation_row", told)
    words = [*words, "checkpoint.every=10"]
    start(tmp_path / "whole", words)
    die_in_step(13)
    with pytest.raises(KilledError):
        start(tmp_path / "killed", words)
    die_in_step(None)
    assert kfac_run("resume=killed").code == 0
    assert differences(tmp_path / "killed", tmp_path / "whole") == []
    saved = torch.load(tmp_path / "killed/parameters.pt", weights_only=True)
    assert (saved["errors"]["best"]["iteration"], len(saved["best"])) == (best_at, 4)


def test_a_run_killed_before_its_first_checkpoint_starts_again(
    kfac_run, words, tmp_path, die_in_step, uninterrupted
):
    die_in_step(6)
    with pytest.raises(KilledError):
        start(tmp_path / "run", words)
    assert len(read_table(tmp_path / "run/metrics.csv")) == 6
    die_in_step(None)
    assert kfac_run("resume=run").code == 0
    assert "no checkpoint yet" in (tmp_path / "run/run.log").read_text()
    assert differences(tmp_path / "run", uninterrupted(words)) == []


def test_a_damaged_newest_checkpoint_is_skipped(
    kfac_run, words, tmp_path, die_in_step, uninterrupted
):
    die_in_step(10)
    with pytest.raises(KilledError):
        start(tmp_path / "run", [*words, "checkpoint.every=4"])
    path = tmp_path / "run/checkpoint-8.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    die_in_step(None)
    answer = kfac_run("resume=run")
    assert answer.code == 0
    assert "checkpoint-8.safetensors is damaged (its checksum does not match)" in answer.err
    assert "resuming from iteration 4\n" in answer.err
    whole = uninterrupted([*words, "checkpoint.every=4"])
    assert differences(tmp_path / "run", whole) == []


def test_a_run_killed_while_it_writes_its_results_writes_them_again(
    kfac_run, words, tmp_path, monkeypatch, uninterrupted
):
    def die(*arguments):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "save_parameters", die)
        with pytest.raises(KilledError):
            start(tmp_path / "run", words)
    assert checkpoint_iterations(tmp_path / "run") == [24]
    assert kfac_run("resume=run").code == 0
    assert differences(tmp_path / "run", uninterrupted(words)) == []


@pytest.mark.parametrize("preset", choices("preset"))
def test_a_run_with_a_preset_resumes_bit_for_bit(
    kfac_run, words, uninterrupted, tmp_path, monkeypatch, preset
):
    monkeypatch.chdir(tmp_path)
    own = ("optimizer.lambda_initial", "polyak.start")
    words = [word for word in words if not word.startswith(own)]
    words.append(f"preset={preset}")
    start(tmp_path / "run", [*words, "iterations=4"])
    assert kfac_run("resume=run", "iterations=9").code == 0
    assert OmegaConf.load("run/config.yaml").preset == {"name": preset}
    assert differences(tmp_path / "run", uninterrupted([*words, "iterations=9"])) == []


def test_one_job_of_a_sweep_is_resumed_by_its_folder(
    kfac_run, words, tmp_path, die_in_step, uninterrupted
):
    die_in_step(13)
    with pytest.raises(KilledError):
        kfac_run("-m", *words, "seed=1,2", "checkpoint.every=5", "hydra.sweep.dir=sweep")
    die_in_step(None)
    answer = kfac_run("resume=sweep")
    assert answer.code == 1
    assert "-m resumes a sweep, or resume one of its folders [0_seed=1]" in answer.err
    assert kfac_run(f"resume={Path('sweep/0_seed=1')}").code == 0
    whole = uninterrupted([*words, "seed=1", "checkpoint.every=5"])
    assert differences(tmp_path / "sweep/0_seed=1", whole) == []
