"""Resuming a run: the result is bit for bit that of an uninterrupted run."""

import contextlib
import io
import itertools
import json
import math
import os
import re
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from soak.compare import differences, place_of_difference
from soak.experiment import OPTIMIZERS, TORCH_OPTIMIZERS, composed, overrides, prepare, write_cases

from kfac_cli.checkpoint.compatibility import reasons_for_inexact_resume
from kfac_cli.checkpoint.contents import FORMAT, Contents
from kfac_cli.checkpoint.folder import checkpoint_iterations
from kfac_cli.checkpoint.tree import read_tree, write_tree
from kfac_cli.commands.messages import choices
from kfac_cli.config.compose import load_config
from kfac_cli.config.names import setting_names
from kfac_cli.config.resuming import MAY_CHANGE
from kfac_cli.config.schema import flat_settings
from kfac_cli.config.validation import validate
from kfac_cli.data.registry import load_dataset
from kfac_cli.engine.products import onednn_linear
from kfac_cli.recording import picture_sink
from kfac_cli.recording.csv_table import read_table
from kfac_cli.recording.progress import Progress
from kfac_cli.run import checkpointing, recorder, runner
from kfac_cli.run.runner import run
from kfac_cli.run.session import Session, make_session, to_device

CPU = torch.device("cpu")
UNUSABLE = "run/checkpoint-12.safetensors: cannot be used: "


class KilledError(BaseException):
    """Simulates SIGKILL: nothing catches it, nothing is written after it."""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "cases.npz"
    write_cases(path)
    return path


@pytest.fixture
def words(file):
    """The command line of the small experiment, without TensorBoard, which is slow.

    On a CPU, whose products and chunks some tests name.
    """
    return [*overrides(file), "tensorboard=false", "device=cpu"]


def start(folder, words):
    """Start a run as kfac-run does, but faster."""
    config = validate(composed(tuple(words)))
    prepare(folder, words)
    silence = io.StringIO()
    with Progress(config.iterations, silence) as progress, contextlib.redirect_stdout(silence):
        return run(config, folder, progress)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The folder of the uninterrupted run with the given command line."""
    root = tmp_path_factory.mktemp("whole")
    folders = {}

    def folder_of(words):
        key = tuple(words)
        if key not in folders:
            folders[key] = root / str(len(folders))
            start(folders[key], words)
        return folders[key]

    return folder_of


@pytest.fixture
def die_in_step(monkeypatch):
    """Kills the process at the end of the step after the given iteration; never for None."""
    step = Session.step

    def arrange(iteration):
        def deadly(self):
            result = step(self)
            if iteration is not None and self.iteration == iteration + 1:
                raise KilledError
            return result

        monkeypatch.setattr(Session, "step", deadly)

    yield arrange
    monkeypatch.setattr(Session, "step", step)


# The state of a session


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, *TORCH_OPTIMIZERS])
def test_from_every_iteration_a_restored_session_takes_exactly_the_same_step(
    file, tmp_path, optimizer, dtype
):
    """Bit for bit; by induction, all later steps are the same too."""
    config = load_config([*overrides(file, optimizer), f"dtype={dtype}"])
    dataset = load_dataset(config.dataset, tmp_path)
    session = make_session(config, dataset, CPU)
    other_seed = load_config([*overrides(file, optimizer), f"dtype={dtype}", "seed=99"])
    path = tmp_path / "state"
    for _ in range(config.iterations):
        with path.open("wb") as state:
            write_tree(state, session.state_dict())
        restored = make_session(other_seed, dataset, CPU)
        restored.load_state_dict(read_tree(path))
        assert place_of_difference(session.state_dict(), restored.state_dict()) is None
        assert restored.step() == session.step()
        assert place_of_difference(session.state_dict(), restored.state_dict()) is None


def test_the_state_is_that_of_the_whole_session(file, tmp_path):
    """Everything that steps change is restored, not only what state_dict lists."""
    config = load_config(overrides(file))
    dataset = load_dataset(config.dataset, tmp_path)
    session, restored = (make_session(config, dataset, CPU) for _ in range(2))
    for _ in range(11):
        session.step()
    restored.load_state_dict(session.state_dict())
    given = ("network", "options", "dataset", "training")
    for mine, theirs in ((session, restored), (session.optimizer, restored.optimizer)):
        for name in vars(mine).keys() - set(given):
            first, second = getattr(mine, name), getattr(theirs, name)
            first, second = (
                x.get_state() if isinstance(x, torch.Generator) else x for x in (first, second)
            )
            first, second = (
                x.state_dict() if hasattr(x, "state_dict") else x for x in (first, second)
            )
            assert place_of_difference(first, second) is None, name


def test_tensors_move_to_another_device_once_and_generators_stay():
    """`meta` represents a GPU."""
    weights, state = torch.zeros(2, 3), torch.Generator().get_state()
    tree = to_device({"w": [weights], "same": weights, "g": state, "n": 3}, torch.device("meta"))
    assert tree["w"][0].device.type == "meta"
    assert tree["w"][0] is tree["same"]
    assert tree["g"] is state
    assert tree["n"] == 3


# Whole runs


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


def test_the_times_continue(kfac_run, words, tmp_path, die_in_step, monkeypatch):
    die_in_step(13)
    with pytest.raises(KilledError):
        start(tmp_path / "run", [*words, "checkpoint.every=10"])
    path = tmp_path / "run/checkpoint-10.safetensors"
    tree = read_tree(path)
    tree["times"] = {name: value + 1000 for name, value in tree["times"].items()}
    with path.open("wb") as out:
        write_tree(out, tree)
    die_in_step(None)
    kfac_run("resume=run")
    rows = read_table(tmp_path / "run/metrics.csv")
    for name in ("seconds", "optimizer_seconds", "evaluation_seconds", "logging_seconds"):
        assert [row[name] > 1000 for row in rows] == [False] * 10 + [True] * 14
        assert json.loads((tmp_path / "run/summary.json").read_text())[name] > 1000


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


# When checkpoints are written


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


# What may change, and what must not


@pytest.fixture
def half(words, tmp_path, uninterrupted):
    """A folder with a run that ended at iteration 12 of 12."""
    return shutil.copytree(uninterrupted([*words, "iterations=12"]), tmp_path / "run")


def change_checkpoint(path, change):
    """Let `change` edit what a checkpoint contains."""
    tree = read_tree(path)
    change(tree)
    with path.open("wb") as out:
        write_tree(out, tree)


def contents_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refusal(kfac_run, folder, *arguments):
    """The line with which resuming is refused; the folder stays unchanged."""
    before = contents_of(folder)
    answer = kfac_run(*arguments)
    after = contents_of(folder)
    assert answer.code == 1
    line = answer.err.splitlines()[-1]
    assert "Traceback" not in answer.err
    assert line.startswith("kfac-run: error: ")
    log = folder / "run.log"
    assert {k: v for k, v in after.items() if k != log} == {
        k: v for k, v in before.items() if k != log
    }
    return line.removeprefix("kfac-run: error: ")


def test_everything_that_may_change_is_a_setting():
    assert set(MAY_CHANGE) <= set(setting_names())


def test_the_help_page_lists_everything_that_may_change(kfac_run):
    page = " ".join(kfac_run("--help").out.split())
    _, names = page.split("with it, only ")
    names, _ = names.split(" and the paths of dataset=arrays and dataset=idx may be given")
    assert set(names.split(", ")) == {n for n in MAY_CHANGE if not n.startswith("dataset.")}


def test_a_run_of_a_version_that_had_fewer_options_cannot_be_resumed(kfac_run, half):
    path = half / "config.yaml"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if "refresh_delay:" not in line))
    answer = kfac_run("resume=run", "optimizer.refresh_delay=5")
    assert answer.code == 1
    assert answer.err == (
        f"kfac-run: error: {path}: has no optimizer.refresh_delay: it was written by an earlier "
        "version, whose runs cannot be resumed\n"
    )


def test_a_run_from_before_the_limit_of_optimizer_seconds_resumes(kfac_run, half):
    path = half / "config.yaml"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if "max_optimizer_seconds" not in line))
    assert kfac_run("resume=run", "iterations=13").code == 0


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


def test_the_time_limit_counts_anew_in_each_process_which_does_an_iteration(
    kfac_run, words, tmp_path
):
    start(tmp_path / "run", [*words, "max_seconds=1e-9"])
    for done in (2, 3):
        answer = kfac_run("resume=run")
        assert answer.code == 0
        assert f"time limit reached after {done} of 24 iterations" in answer.out
        assert "kfac-run resume=run  continues from here" in answer.out
    assert kfac_run("resume=run", "max_seconds=1e6", "evaluate_every=4").code == 0
    rows = read_table(tmp_path / "run/evaluations.csv")
    assert [row["iteration"] for row in rows] == [1, 2, 3, 4, 8, 12, 16, 20, 24]


def test_optimizer_seconds_count_from_the_beginning_of_the_run(kfac_run, words, tmp_path):
    start(tmp_path / "run", [*words, "max_optimizer_seconds=1e-9"])
    answer = kfac_run("resume=run")
    assert answer.code == 0
    assert "time limit reached after 1 of 24 iterations" in answer.out
    assert "continues from here, given more max_optimizer_seconds=" in answer.out
    both = kfac_run("resume=run", "max_optimizer_seconds=1e6", "max_seconds=1e-9").out
    assert "kfac-run resume=run  continues from here\n" in both  # it needs no more of the former
    again = kfac_run("resume=run", "max_optimizer_seconds=1e6", "max_seconds=1e6")
    assert "24 iterations" in again.out


def test_the_time_before_the_resumption_does_not_count(kfac_run, words, tmp_path):
    start(tmp_path / "run", [*words, "iterations=12"])
    path = tmp_path / "run/checkpoint-12.safetensors"
    tree = read_tree(path)
    tree["times"]["seconds"] += 1e6
    with path.open("wb") as out:
        write_tree(out, tree)
    assert kfac_run("resume=run", "iterations=24", "max_seconds=1e5").code == 0
    found = json.loads((tmp_path / "run/summary.json").read_text())
    assert (found["status"], found["iterations"]) == ("finished", 24)
    assert found["seconds"] > 1e6


def test_a_run_that_missed_its_target_says_so_again(kfac_run, words, tmp_path):
    start(tmp_path / "run", [*words, "iterations=4", "target_error=0"])
    sentence = "run: target not reached after 4 iterations; a larger iterations=N continues it\n"
    answer = kfac_run("resume=run")
    assert (answer.code, answer.out, answer.err) == (0, sentence, "")
    answer = kfac_run("resume=run", "require_target=true")
    assert (answer.code, answer.out, answer.err) == (1, "", f"kfac-run: error: {sentence}")


@pytest.mark.parametrize(
    ("given", "code", "status"),
    [("1e6", 0, "target reached"), ("0", 1, "target not reached")],
)
def test_a_finished_run_can_be_held_against_a_target(kfac_run, half, given, code, status):
    before = (half / "metrics.csv").read_bytes()
    answer = kfac_run("resume=run", f"target_error={given}", "require_target=true")
    assert answer.code == code
    found = json.loads((half / "summary.json").read_text())
    assert (found["status"], found["iterations"]) == (status, 12)
    assert found["target"]["iteration"] == (4 if code == 0 else None)
    assert (half / "metrics.csv").read_bytes() == before


def test_a_run_that_reached_its_target_resumes_with_a_smaller_one(
    kfac_run, words, tmp_path, uninterrupted
):
    start(tmp_path / "run", [*words, "target_error=1e6"])
    answer = kfac_run("resume=run")
    assert answer.out == (
        "run: target reached after 4 iterations; a smaller target_error=E or null continues it\n"
    )
    assert kfac_run("resume=run", "target_error=null").code == 0
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


def test_settings_that_must_not_change_are_named_with_both_values(kfac_run, half):
    line = refusal(kfac_run, half, "resume=run", "seed=3", "l2=0.5", "iterations=20")
    assert line.startswith("l2=0.5 (was 1e-05), seed=3 (was 0): ") or line.startswith(
        "seed=3 (was 0), l2=0.5 (was 1e-05): "
    )
    assert line.endswith(", ".join(MAY_CHANGE))


def test_a_setting_given_again_as_it_was_is_no_change(kfac_run, half):
    assert kfac_run("resume=run", "seed=0", "polyak={decay: 0.99}", "iterations=13").code == 0


def test_settings_edited_in_the_folder_are_compared_with_the_checkpoint(kfac_run, half):
    settings = OmegaConf.load(half / "config.yaml")
    settings.optimizer.tau1 = 0.5
    settings.iterations = 20
    OmegaConf.save(settings, half / "config.yaml")
    line = refusal(kfac_run, half, "resume=run")
    assert line.startswith("optimizer.tau1=0.5 (was 0.125): a resumed run keeps its settings")


def test_data_may_move_but_not_change(kfac_run, half, file, tmp_path):
    moved = tmp_path / "elsewhere.npz"
    shutil.copy(file, moved)
    arguments = ("resume=run", "iterations=24", f"dataset.file={moved}")
    arrays = dict(np.load(moved))
    arrays["test_inputs"][3, 4] += 0.01
    np.savez(moved, **arrays)
    assert refusal(kfac_run, half, *arguments) == (
        "dataset.name=arrays: not the data that the run started with: test_inputs has the same "
        "shape, but other values; a resumed run needs the same data"
    )
    np.savez(moved, train_inputs=arrays["train_inputs"][1:], test_inputs=arrays["test_inputs"])
    assert "train_inputs has the shape [79, 12] instead of [80, 12]" in refusal(
        kfac_run, half, *arguments
    )
    write_cases(moved)
    assert kfac_run(*arguments).code == 0


def test_missing_data_leave_the_folder_as_it_was(kfac_run, half):
    arguments = ("resume=run", "iterations=24", "dataset.file=nowhere.npz")
    assert refusal(kfac_run, half, *arguments).startswith(
        f"{half.parent}/nowhere.npz: no such file"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("torch", "0.4.1"),
        ("thread_count", 77),
        ("device", "cuda"),
        ("matmul", "tf32"),
        ("kfac-run", "9.9"),
    ],
)
def test_another_machine_or_version_warns_that_the_result_may_differ(
    kfac_run, half, monkeypatch, name, value
):
    path = half / "checkpoint-12.safetensors"
    now = read_tree(path)["environment"][name]
    change_checkpoint(path, lambda tree: tree["environment"].update({name: value}))
    answer = kfac_run("resume=run", "iterations=14")
    assert answer.code == 0
    sentence = (
        f"{name} is {now} and was {value}: the result may differ from that of an uninterrupted run"
    )
    assert sentence in answer.err
    assert sentence in (half / "run.log").read_text()


@pytest.mark.parametrize(
    ("changes", "mixed"),
    [
        ({}, False),
        ({"thread_count": 77}, True),
        ({"device_name": "Another processor"}, True),
        ({"numpy": "0.1"}, True),
        ({"platform": "another"}, False),
    ],
)
def test_a_run_says_for_good_that_it_was_resumed_in_another_environment(
    kfac_run, half, changes, mixed
):
    """Also where the run that first said it left no summary, and with its own environment."""
    path = half / "checkpoint-12.safetensors"
    change_checkpoint(path, lambda tree: tree["environment"].update(changes))
    for iterations in (14, 16):
        assert kfac_run("resume=run", f"iterations={iterations}").code == 0
        summary = json.loads((half / "summary.json").read_text())
        assert (summary["iterations"], summary["mixed_environment"]) == (iterations, mixed)
        (half / "summary.json").unlink()


@pytest.mark.parametrize(
    ("device", "words", "expected"),
    [
        ("cuda:1", (), True),
        ("cuda", (), True),
        ("cpu:0", (), False),
        ("cuda", ("optimizer.fisher=exact",), False),
        ("cuda", ("optimizer=adam",), False),
    ],
)
def test_a_change_between_cpu_and_gpu_says_that_sampled_targets_differ(words, device, expected):
    config = validate(composed(("iterations=9", *words)))
    saved = Contents(
        iteration=4,
        config=flat_settings(config),
        environment={"device": device},
        data={},
        times={},
        session={"earlier": 0},
    )
    reasons = reasons_for_inexact_resume(saved, config, {"device": "cpu"})
    assert f"device is cpu and was {device}" in reasons
    said = "targets are sampled differently on a CPU and on a GPU" in reasons
    assert said == expected


def test_other_matrix_products_may_be_chosen_and_warn(kfac_run, half):
    if onednn_linear() is None:
        pytest.skip("this torch has no oneDNN")
    path = half / "checkpoint-12.safetensors"
    change_checkpoint(path, lambda tree: tree["environment"].update(matmul="blas"))
    answer = kfac_run("resume=run", "iterations=14", "matmul=onednn")
    assert answer.code == 0
    assert "matmul is onednn and was blas: the result may differ" in answer.err
    assert json.loads((half / "summary.json").read_text())["matmul"] == "onednn"
    assert read_tree(half / "checkpoint-14.safetensors")["environment"]["matmul"] == "onednn"


def test_a_checkpoint_that_does_not_say_was_made_by_blas_with_its_chunk_size(kfac_run, half):
    def forget(tree):
        del tree["environment"]["matmul"], tree["config"]["matmul"]
        del tree["environment"]["chunk_size"]
        tree["config"]["chunk_size"] = 2000

    change_checkpoint(half / "checkpoint-12.safetensors", forget)
    answer = kfac_run("resume=run", "iterations=14", "matmul=blas")
    assert answer.code == 0
    assert "the result may differ" not in answer.err


def test_another_chunk_size_warns_too(kfac_run, half):
    answer = kfac_run("resume=run", "iterations=14", "chunk_size=7")
    assert answer.code == 0
    assert "chunk_size is 7 and was 2000: the result may differ" in answer.err


def test_a_chunk_size_that_was_chosen_stays(kfac_run, half):
    """The free memory of a GPU, by which it was chosen, is another one on resuming."""
    path = half / "checkpoint-12.safetensors"
    change_checkpoint(path, lambda tree: tree["environment"].update(chunk_size=7))
    answer = kfac_run("resume=run", "iterations=14")
    assert answer.code == 0
    assert "the result may differ" not in answer.err
    saved = read_tree(half / "checkpoint-14.safetensors")
    assert saved["environment"]["chunk_size"] == 7
    assert saved["config"]["chunk_size"] == "auto"


def test_other_activations_in_memory_warn_too(kfac_run, half):
    answer = kfac_run("resume=run", "iterations=14", "optimizer.activation_memory=0")
    assert answer.code == 0
    assert "optimizer.activation_memory=0 (was 512): the result may differ" in answer.err


@pytest.mark.parametrize(
    ("change", "line"),
    [
        *(
            ({"format": other}, "run: its checkpoint is from another version of kfac-run (")
            for other in (FORMAT - 1, FORMAT + 1)
        ),
        ({"session": {"optimizer": {}}}, f"{UNUSABLE}session.earlier: is missing; remove it to"),
        ({"session": None}, f"{UNUSABLE}session=null: must be a group of values; "),
        ({"times": {"seconds": "3"}}, f"{UNUSABLE}times.seconds=3: must be a number from 0 to "),
        ({"iteration": "12"}, f"{UNUSABLE}iteration=12: must be a whole number from 0 to "),
        ({"config": []}, f"{UNUSABLE}config=(a list of 0): must be a group of values; "),
    ],
)
def test_a_checkpoint_with_other_contents_is_refused(kfac_run, half, change, line):
    path = half / "checkpoint-12.safetensors"
    tree = {**read_tree(path), **change}
    with path.open("wb") as out:
        write_tree(out, tree)
    assert refusal(kfac_run, half, "resume=run", "iterations=20").startswith(line)


def test_parameters_of_other_shapes_are_refused(kfac_run, half):
    path = half / "checkpoint-12.safetensors"
    tree = read_tree(path)
    tree["session"]["optimizer"]["parameters"][0] = torch.zeros(6, 14)
    with path.open("wb") as out:
        write_tree(out, tree)
    line = refusal(kfac_run, half, "resume=run", "iterations=20")
    assert line == (
        f"{UNUSABLE}session.optimizer.parameters[0]=(torch.float32 of the shape [6, 14]): must be "
        "torch.float32 of the shape [6, 13]; remove it to resume from an older one"
    )


def test_arguments_of_torchs_optimizer_cannot_be_added_on_resuming(kfac_run, file, tmp_path):
    start(tmp_path / "run", [*overrides(file, "adam"), "iterations=4"])
    word = "optimizer.arguments={lr:0.001,weight_decay:100.0}"
    line = refusal(kfac_run, tmp_path / "run", "resume=run", "iterations=6", word)
    assert "optimizer.arguments.weight_decay=100.0 (was not set): a resumed run keeps" in line


# The tables


def test_a_removed_table_is_reported_to_have_a_gap(kfac_run, half):
    (half / "metrics.csv").unlink()
    answer = kfac_run("resume=run", "iterations=14")
    assert answer.code == 0
    assert "metrics.csv has no rows for some iterations up to 12" in answer.err
    assert [row["iteration"] for row in read_table(half / "metrics.csv")] == [13, 14]


def test_missing_evaluations_are_reported_and_the_best_is_still_known(kfac_run, half):
    before = json.loads((half / "summary.json").read_text())
    table = half / "evaluations.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join([lines[0], *lines[2:]]))  # without that at iteration 4
    answer = kfac_run("resume=run", "iterations=13", "target_error=1e-9")
    assert answer.code == 0
    assert "evaluations.csv has no rows for some evaluations up to 12" in answer.err
    assert "metrics.csv has no rows" not in answer.err
    table.unlink()
    answer = kfac_run("resume=run", "iterations=14", f"target_error={before['best_train_error']}")
    assert "evaluations.csv has no rows for some evaluations up to 13" in answer.err
    found = json.loads((half / "summary.json").read_text())
    assert found["best_train_error"] <= before["best_train_error"]
    assert found["target"]["reached"]


@pytest.mark.parametrize("changes", [[], ["evaluate_every=5"]])
def test_complete_tables_are_not_reported(kfac_run, half, changes):
    for iterations in (13, 15):
        assert kfac_run("resume=run", *changes, f"iterations={iterations}").code == 0
    assert "no rows" not in (half / "run.log").read_text()


def test_a_damaged_table_is_one_line(kfac_run, half):
    lines = (half / "metrics.csv").read_text().splitlines(keepends=True)
    lines[3] = "3,4\n"
    (half / "metrics.csv").write_text("".join(lines))
    line = refusal(kfac_run, half, "resume=run", "iterations=14")
    assert "metrics.csv, line 4 is damaged: '3,4'; repair it, or remove it" in line


# The command


@pytest.mark.parametrize("name", ["a=b c", "ünï, {x}", "'quoted'", "$HOME"])
@pytest.mark.parametrize("quotes", ["", "'", '"'])
def test_a_folder_may_have_any_name(kfac_run, half, tmp_path, name, quotes):
    half.rename(tmp_path / name)
    answer = kfac_run(f"resume={quotes}{name}{quotes}")
    assert answer.code == 0
    assert answer.out.startswith(f"{name}: finished after 12 iterations")


def test_an_absolute_path_and_one_through_a_link_work(kfac_run, half, tmp_path):
    (tmp_path / "link").symlink_to(half)
    for path in (half, tmp_path / "link", "./run/"):
        assert kfac_run(f"resume={path}").code == 0


MISTAKES = [
    (["resume="], "resume=: must be followed by the folder of a run"),
    (["resume=nowhere"], "resume=nowhere: no such folder"),
    (["resume=\0"], 'resume="\\u0000": no such folder'),
    (["resume=\ud800"], 'resume="\\ud800": no such folder'),
    (["resume=a\nb"], 'resume="a\\nb": no such folder'),
    (["resume=" + "r" * 5000], f"resume={'r' * 57}...: no such folder"),
    (["resume=''"], "resume=: must be followed by the folder of a run"),
    (["resume=cases.npz"], "resume=cases.npz: no such folder"),
    (["resume=empty"], "resume=empty: holds no run: it has no config.yaml"),
    (
        ["resume=."],
        "resume=.: holds no run: it has no config.yaml; -m resumes a sweep, or resume one of its "
        "folders [run]",
    ),
    (["resume=run", "resume=run"], "resume=run: one folder at a time"),
    (["-m", "resume=run"], "resume=run: has no multirun.yaml: it holds a single run; remove -m"),
    (["--cfg", "job", "resume=run"], "resume=run: resumes one run and takes no options"),
    (["resume=run", "seed=0,1"], "seed=0,1: several values, but resume= continues one run"),
    (["resume=run", "iteration=9"], "iteration=9: no such setting; did you mean iterations?"),
    (
        ["resume=run", "optimizer.lr=1"],
        "optimizer.lr=1: no such setting; did you mean optimizer.learning_rate, or with torch's ",
    ),
    (["resume=run", "iterations=0"], "iterations=0: must be a whole number from 1 to 1000000000"),
    (
        ["resume=run", "optimizer=kfac_diag"],
        "optimizer=kfac_diag: a resumed run keeps its optimizer",
    ),
    (["resume=run", "preset=paper"], "preset=paper: a resumed run keeps its preset"),
    (["resume=run", "preset.name=paper"], "preset.name=paper (was default): a resumed run keeps"),
    (["resume=run", "preset.tau2=1"], "preset.tau2=1: no such setting"),
    (["resume=run", "+iterations=9"], "+iterations=9: with resume=, write SETTING=VALUE"),
    (["resume=run", "~iterations"], "~iterations: with resume=, write SETTING=VALUE"),
    (["resume=run", "iterations=[9"], "iterations=[9: cannot be read"),
    (["resume=run", "hydra.run.dir=x"], "hydra.run.dir=x: no such setting"),
    (["resume=run", "nonsense"], "nonsense: must have the form SETTING=VALUE"),
    (["resume=run", "polyak=3"], "polyak=3: must be a group of settings"),
    (["resume=run", "iterations.x=3"], "iterations.x=3: "),
    (["resume=run", "iterations=${nowhere}"], "iterations: Interpolation key 'nowhere' not found"),
]


@pytest.mark.parametrize(
    ("arguments", "line"), MISTAKES, ids=[ascii(" ".join(m[0])[:40]) for m in MISTAKES]
)
def test_a_mistake_next_to_resume_is_one_line(kfac_run, half, tmp_path, arguments, line):
    (tmp_path / "empty").mkdir()
    found = refusal(kfac_run, half, *arguments)
    assert found.startswith(line)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "dataset: has no value"),
        ("- 1\n", "does not hold the settings of a run"),
        ("a: [\n", "cannot be read: "),
        ("iterations: 3\n", "dataset: has no value"),
        ("!!python/object/apply:os.system ['touch owned']\n", "cannot be read: "),
    ],
)
def test_settings_that_cannot_be_used_are_one_line(kfac_run, half, tmp_path, text, reason):
    (half / "config.yaml").write_text(text)
    line = refusal(kfac_run, half, "resume=run")
    assert line.startswith(f"{half}/config.yaml: {reason}")
    assert not (tmp_path / "owned").exists()


def test_an_ended_run_without_checkpoints_is_not_started_again(kfac_run, half):
    (half / "checkpoint-12.safetensors").unlink()
    assert refusal(kfac_run, half, "resume=run", "iterations=20") == (
        "run: has ended and holds no checkpoint to resume from"
    )


def test_its_log_continues_in_the_format_of_a_new_run(kfac_run, half):
    kfac_run("resume=run", "iterations=13", "chunk_size=7")
    for line in (half / "run.log").read_text().splitlines():
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+: ", line)
    assert "chunk_size is 7 and was 2000" in (half / "run.log").read_text()


def test_two_processes_cannot_use_one_folder(kfac_run, half):
    import fcntl

    descriptor = os.open(half, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        line = refusal(kfac_run, half, "resume=run", "iterations=20")
        assert line == "run: is in use by another kfac-run process"
    finally:
        os.close(descriptor)
    assert kfac_run("resume=run", "iterations=20").code == 0


@pytest.mark.parametrize("name", ["metrics.csv", "run.log", "tensorboard/events", "error.log"])
def test_a_link_in_the_folder_is_refused(kfac_run, half, tmp_path, name):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (half / "tensorboard").mkdir(exist_ok=True)
    (half / name).unlink(missing_ok=True)
    (half / name).symlink_to(victim)
    answer = kfac_run("resume=run", "iterations=20")
    assert answer.code == 1
    assert f"{half / name}: is a link" in answer.err
    assert victim.read_text() == "precious"


def test_while_a_run_continues_its_folder_does_not_look_like_that_of_an_ended_run(
    kfac_run, half, die_in_step
):
    (half / "error.log").write_text("an earlier error")
    die_in_step(15)
    with pytest.raises(KilledError):
        kfac_run("resume=run", "iterations=24")
    assert not (half / "summary.json").exists()
    assert not (half / "error.log").exists()
    die_in_step(None)
    assert kfac_run("resume=run").code == 0
    assert len(read_table(half / "metrics.csv")) == 24


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
