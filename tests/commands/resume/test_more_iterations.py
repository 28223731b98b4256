"""An ended run continues with more iterations, and refuses fewer than it has done."""

import pytest
from omegaconf import OmegaConf
from soak.compare import differences
from soak.experiment import OPTIMIZERS, overrides

from kfac_cli.recording.csv_table import read_table
from tests.commands.resume.helpers import KilledError, contents_of, refusal, start


def test_a_finished_run_says_so_and_stays_unchanged(kfac_run, half):
    before = contents_of(half)
    answer = kfac_run("resume=run")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "run: finished after 12 iterations; a larger iterations=N continues it\n"
    assert contents_of(half) == before


@pytest.mark.parametrize("optimizer", OPTIMIZERS[::2])
def test_more_iterations_continue_a_finished_run_exactly(
    kfac_run, file, tmp_path, optimizer, uninterrupted
):
    """Its last evaluation, at iteration 12, is due in the longer run too."""
    words = [*overrides(file, optimizer), "tensorboard=false"]
    words += ["optimizer.final_iterations=0"] if optimizer == "nesterov_sgd" else []
    start(tmp_path / "run", [*words, "iterations=12"])
    answer = kfac_run("resume=run", "iterations=24")
    assert answer.code == 0
    assert "the result may differ" not in answer.err
    assert differences(tmp_path / "run", uninterrupted(words)) == []
    assert OmegaConf.load(tmp_path / "run/config.yaml").iterations == 24


@pytest.mark.parametrize(
    ("first", "stopped_at", "then", "exact"),
    [(24, 12, 30, True), (24, 22, 30, False), (24, 22, 24, True), (30, 24, 26, False)],
)
def test_more_iterations_are_exact_if_mu_was_not_lowered_yet(
    kfac_run, file, tmp_path, die_in_step, first, stopped_at, then, exact, uninterrupted
):
    """Nesterov's mu is lowered in the last 4."""
    words = [*overrides(file, "nesterov_sgd"), "tensorboard=false", "checkpoint.every=1"]
    die_in_step(stopped_at)
    with pytest.raises(KilledError):
        start(tmp_path / "run", [*words, f"iterations={first}"])
    die_in_step(None)
    answer = kfac_run("resume=run", f"iterations={then}")
    assert ("the result may differ" not in answer.err) == exact
    whole = uninterrupted([*words, f"iterations={then}"])
    assert (differences(tmp_path / "run", whole) == []) == exact


def test_fewer_iterations_than_were_done_are_refused(kfac_run, half):
    assert refusal(kfac_run, half, "resume=run", "iterations=11") == (
        "iterations=11: the run in run has already done 12; set 12 or more"
    )


def test_fewer_iterations_than_the_checkpoint_of_a_killed_run_are_refused(
    kfac_run, words, tmp_path, die_in_step
):
    die_in_step(14)
    with pytest.raises(KilledError):
        start(tmp_path / "run", [*words, "checkpoint.every=12"])
    die_in_step(None)
    assert not (tmp_path / "run/summary.json").exists()
    assert refusal(kfac_run, tmp_path / "run", "resume=run", "iterations=11") == (
        "iterations=11: the run in run has already done 12; set 12 or more"
    )
    answer = kfac_run("resume=run", "iterations=12")
    assert answer.code == 0
    assert len(read_table(tmp_path / "run/metrics.csv")) == 12
