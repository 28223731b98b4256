"""The jobs of a sweep in several tasks each: what is asked of Slurm, and what the tasks do."""

import json
import os
import sys
from subprocess import run

import numpy as np
import pytest

pytest.importorskip("submitit")


def settings(tmp_path):
    file = tmp_path / "cases.npz"
    np.savez(file, train_inputs=np.random.default_rng(0).random((60, 5)).round())
    return [
        "dataset=arrays",
        f"dataset.file={file}",
        "dataset.output=bernoulli",
        "dataset.layer_sizes=[5,3,5]",
        "dataset.activations=[logistic]",
        "iterations=2",
        "schedule=fixed",
        "schedule.size=20",
        "tensorboard=false",
        "threads=1",
    ]


def test_each_run_takes_the_tasks_that_are_asked_for(kfac_run, tmp_path, monkeypatch):
    """With a stand-in for sbatch that keeps the script and refuses it."""
    programs = {"sbatch": f'cp "$1" {tmp_path}/script; exit 1', "srun": "exit 1"}
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    launcher = ("hydra/launcher=slurm", "hydra.launcher.tasks_per_node=4", "hydra.launcher.nodes=2")
    answer = kfac_run("-m", *settings(tmp_path), *launcher, "seed=0,1")
    assert answer.code == 1
    assert (tmp_path / "script").exists(), answer.err
    script = (tmp_path / "script").read_text()
    for line in ("--ntasks-per-node=4", "--nodes=2", "--array=0-1%2", "--cpus-per-task=4"):
        assert f"#SBATCH {line}\n" in script
    assert "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK\n" in script.partition("\nsrun ")[0]


def test_the_tasks_of_a_job_share_its_run(tmp_path):
    """With submitit's executor for one machine in the place of the one for Slurm."""
    launcher = ["hydra/launcher=submitit_local", "hydra.launcher.tasks_per_node=2"]
    sweep = ["seed=0", "hydra.sweep.dir=sweep"]
    command = [sys.executable, "-m", "kfac_cli", "-m", *settings(tmp_path), *launcher, *sweep]
    done = run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    [summary] = (tmp_path / "sweep").glob("*/summary.json")
    assert json.loads(summary.read_text())["status"] == "finished"
    logs = (tmp_path / "sweep" / ".submitit").glob("**/*_log.err")
    assert sum("2 processes of 1 thread each" in log.read_text() for log in logs) == 1
