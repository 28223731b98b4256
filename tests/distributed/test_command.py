"""The command in several processes: one run, led by the first process."""

import csv
import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path
from subprocess import Popen

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from distributed.launch import (
    SECONDS,
    kfac_run,
    kfac_run_on_other_data,
    kfac_run_that_hangs,
    kfac_run_with_a_fault,
    kfac_tune,
    launch,
    launched,
)
from kfac_cli.recording.summary import FINISHED, TARGET_REACHED, TIME_LIMIT_REACHED

SETTINGS = (
    "dataset=arrays",
    "dataset.output=bernoulli",
    "dataset.layer_sizes=[9,7,4,7,9]",
    "dataset.activations=[logistic,linear,logistic]",
    "dtype=float64",
    "schedule=fixed",
    "schedule.size=50",
    "tensorboard=false",
    "evaluate_every=3",
)
FACTORED = "optimizer.tikhonov=factored"
"""With the default, six iterations make new inverses: a resumed run would not use a saved one."""
ENDLESS = ("iterations=100000", "evaluate_every=100000", "checkpoint.every=1")
TIMES = ("seconds", "optimizer_seconds", "evaluation_seconds", "logging_seconds")
WORDS = ("outcome",)


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The settings of a run of milliseconds, on data of its own."""
    file = tmp_path_factory.mktemp("data") / "cases.npz"
    cases = np.random.default_rng(0).random((200, 9)).round()
    np.savez(file, train_inputs=cases[:150], test_inputs=cases[150:])
    return (*SETTINGS, f"dataset.file={file}")


def command(folder, *arguments, count=2, **variables):
    return launch(
        count, folder.parent / f"{folder.name}-printed", kfac_run, *arguments, **variables
    )


def begin(folder, *arguments):
    codes, started = command(folder, f"hydra.run.dir={folder}", *arguments)
    assert codes == [0, 0], started.everything()
    return started


def rows(folder, name="metrics.csv"):
    with (folder / name).open() as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


def numbers(folder, name="metrics.csv"):
    table = [{k: v for k, v in row.items() if k not in WORDS} for row in rows(folder, name)]
    values = [[float(value or "nan") for value in row.values()] for row in table]
    return torch.tensor(values, dtype=torch.float64)


def parameters(folder):
    saved = load_file(max(folder.glob("checkpoint-*.safetensors")))
    return {name: tensor for name, tensor in saved.items() if name != "sha256"}


def await_checkpoint(folder):
    while not any(folder.glob("checkpoint-*.safetensors")):
        time.sleep(0.05)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, small):
    """A run of 6 iterations in two processes, and what they printed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, begin(folder, *small, FACTORED, "iterations=6")


@pytest.fixture(scope="module")
def half(tmp_path_factory, small):
    """The first 3 iterations of it."""
    folder = tmp_path_factory.mktemp("half") / "run"
    begin(folder, *small, FACTORED, "iterations=3")
    return folder


def test_the_first_process_alone_writes_and_shows(whole):
    folder, started = whole
    assert started.printed(1) == ""
    assert re.search(r"2 processes of \d+ threads? each", started.printed(0))
    assert len(rows(folder)) == 6
    assert len(rows(folder, "evaluations.csv")) == 2


def test_a_run_is_that_of_a_single_process(whole, small, tmp_path, kfac_run):
    folder, _ = whole
    answer = kfac_run(*small, FACTORED, "iterations=6", f"hydra.run.dir={tmp_path / 'alone'}")
    assert answer.code == 0, answer.err
    for name in ("metrics.csv", "evaluations.csv"):
        torch.testing.assert_close(
            numbers(folder, name), numbers(tmp_path / "alone", name), rtol=1e-5, atol=1e-8,
            equal_nan=True,
        )  # fmt: skip


def test_it_resumes_bit_for_bit_in_as_many_processes(whole, half, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(half, folder)
    codes, started = command(folder, f"resume={folder}", "iterations=6")
    assert codes == [0, 0], started.everything()
    assert rows(folder) == rows(whole[0])
    assert rows(folder, "evaluations.csv") == rows(whole[0], "evaluations.csv")
    found, expected = parameters(folder), parameters(whole[0])
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_it_resumes_in_another_number_of_processes_up_to_rounding(whole, half, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(half, folder)
    codes, started = command(folder, f"resume={folder}", "iterations=6", count=3)
    assert codes == [0] * 3, started.everything()
    assert "processes is 3 and was 2" in started.printed(0)
    torch.testing.assert_close(
        numbers(folder), numbers(whole[0]), rtol=1e-5, atol=1e-8, equal_nan=True
    )


def test_an_error_of_the_user_appears_once(tmp_path):
    codes, started = command(tmp_path / "run", "iterations=-1")
    assert codes == [1, 0]
    assert started.everything().count("error") == 1
    assert "iterations=-1" in started.printed(0)


def test_a_signal_to_the_first_process_saves_and_ends_all(small, tmp_path):
    folder, printed = tmp_path / "run", tmp_path / "printed"
    arguments = (*small, f"hydra.run.dir={folder}", *ENDLESS)
    with launched(2, printed, kfac_run, *arguments) as started:
        started.await_text(0, "iteration 1/")
        started.kill(1, signal.SIGTERM)  # is for the first one to answer
        started.kill(0, signal.SIGTERM)
        assert started.codes() == [143, 0], started.everything()
    assert parameters(folder)


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_process_that_dies_ends_all_with_one_line(small, tmp_path, lost):
    folder, printed = tmp_path / "run", tmp_path / "printed"
    arguments = (*small, f"hydra.run.dir={folder}", *ENDLESS)
    with launched(3, printed, kfac_run, *arguments) as started:
        started.await_text(0, "iteration 1/")
        await_checkpoint(folder)
        started.kill(lost)
        codes = started.codes()
        assert codes == [-signal.SIGKILL if rank == lost else 1 for rank in range(3)]
        assert started.everything().count("kfac-run: error") == 1, started.everything()
        assert "Traceback" not in started.everything()
    assert parameters(folder)


@pytest.mark.parametrize("hanging", [0, 1])
def test_a_process_that_hangs_ends_the_other_with_one_line(small, tmp_path, hanging):
    """Process 1 reports it if it is the first one, which finds that it is reported."""
    folder, printed = tmp_path / "run", tmp_path / "printed"
    arguments = (hanging, *small, f"hydra.run.dir={folder}", *ENDLESS)
    with launched(2, printed, kfac_run_that_hangs, *arguments) as started:
        other = started.processes[1 - hanging]
        other.join(SECONDS)
        assert other.exitcode == 1, started.everything()
        if hanging == 0:
            assert "the first process ended or does not answer" in started.printed(1)
        else:
            assert "process 1 did not answer within" in started.printed(0)
            assert "continues from iteration 1" in started.printed(0)
        started.kill(hanging, signal.SIGCONT)
        assert started.codes() == [1, 1], started.everything()
        assert started.everything().count("kfac-run: error") == 1, started.everything()
    assert parameters(folder)


def test_a_process_with_other_parameters_ends_all(small, tmp_path):
    folder = tmp_path / "run"
    arguments = (*small, f"hydra.run.dir={folder}", "iterations=9")
    codes, started = launch(2, tmp_path / "printed", kfac_run_with_a_fault, *arguments)
    assert codes == [1, 1], started.everything()
    [line] = [line for line in started.everything().splitlines() if "kfac-run: error" in line]
    assert "process 1 does not have the parameters of the first process" in line
    assert len(rows(folder)) == 2


def test_a_process_with_other_data_is_refused_before_the_training(small, tmp_path):
    folder = tmp_path / "run"
    arguments = (*small, f"hydra.run.dir={folder}", "iterations=9")
    codes, started = launch(2, tmp_path / "printed", kfac_run_on_other_data, *arguments)
    assert codes == [1, 0], started.everything()
    [line] = [line for line in started.everything().splitlines() if "kfac-run: error" in line]
    assert line.startswith("kfac-run: error: process 1: the data in ")
    assert line.endswith(" are not those of the first process")


def test_a_sweep_runs_each_job_in_all_processes(small, tmp_path):
    folder = tmp_path / "sweep"
    sweep = ("iterations=4", "target_error=null,1e9", f"hydra.sweep.dir={folder}")
    codes, started = command(folder, "-m", *small, *sweep)
    assert codes == [0, 0], started.everything()
    statuses = [json.loads(file.read_text())["status"] for file in folder.glob("*/summary.json")]
    assert sorted(statuses) == sorted([FINISHED, TARGET_REACHED])


def test_a_process_that_dies_ends_a_sweep_with_one_line(small, tmp_path):
    folder, printed = tmp_path / "sweep", tmp_path / "printed"
    sweep = (*ENDLESS, "seed=0,1,2", f"hydra.sweep.dir={folder}")
    with launched(2, printed, kfac_run, "-m", *small, *sweep) as started:
        started.await_text(0, "iteration 1/")
        started.kill(1)
        assert started.codes() == [1, -signal.SIGKILL]
        assert started.everything().count("kfac-run: error") == 1, started.everything()
    assert len(list(folder.glob("*/config.yaml"))) == 1


def test_a_run_from_another_one_and_a_limit_of_time(half, small, tmp_path):
    folder = tmp_path / "run"
    begin(folder, *small, f"start_from={half}", "iterations=100000", "max_seconds=0.01")
    assert [row["iteration"] for row in rows(folder)] == ["4"]
    assert json.loads((folder / "summary.json").read_text())["status"] == TIME_LIMIT_REACHED


def test_a_search_runs_its_trials_in_all_processes(small, tmp_path):
    pytest.importorskip("optuna")
    folder = tmp_path / "study"
    settings = ("optimizer=adam", "optimizer.arguments.lr=1e-3,1e-2", "iterations=3")
    search = ("sampler=grid", "pruner=none", "trials=2", f"output={folder}")
    codes, started = launch(2, tmp_path / "printed", kfac_tune, *small, *settings, *search)
    assert codes == [0, 0], started.everything()
    summaries = [json.loads(file.read_text()) for file in folder.glob("trials/*/summary.json")]
    assert [each["status"] for each in summaries] == [FINISHED] * 2
    assert started.printed(1) == ""


def test_torchrun_starts_it_and_ends_with_one_line_when_a_process_dies(small, tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    work = ["-m", "kfac_cli", *small, *ENDLESS, "hydra.run.dir=run", "threads=2"]
    printed = tmp_path / "printed"
    with printed.open("wb") as file:
        torchrun = Popen([*launcher, *work], cwd=tmp_path, stdout=file, stderr=file)
    try:
        await_line(printed, "iteration 1/")
        await_checkpoint(tmp_path / "run")
        [other] = [pid for pid in children(torchrun.pid) if b"RANK=1" in environment(pid)]
        os.kill(other, signal.SIGKILL)
        assert torchrun.wait(SECONDS) == 1
    finally:
        torchrun.kill()
    text = printed.read_text(encoding="utf-8")
    assert "2 processes of 2 threads each" in text
    [line] = [line for line in text.splitlines() if "kfac-run: error" in line]
    assert "process 1 ended unexpectedly" in line
    assert parameters(tmp_path / "run")


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def environment(pid):
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def await_line(file, text):
    end = time.monotonic() + SECONDS
    while text not in file.read_text(encoding="utf-8"):
        assert time.monotonic() < end, file.read_text(encoding="utf-8")
        time.sleep(0.05)
