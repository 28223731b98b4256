"""The script of docs/slurm.md, with stand-ins for Slurm's commands."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from soak.compare import differences
from soak.experiment import overrides, write_cases

PAGE = Path(__file__).parents[1] / "docs/slurm.md"
EXPERIMENT = "experiment=mnist_kfac_tridiag"


@pytest.fixture
def job(tmp_path):
    """Starts the script, which notes the number of its kfac-run process and its requeueing."""
    write_cases(tmp_path / "cases.npz")
    words = [*overrides(tmp_path / "cases.npz"), "tensorboard=false", "iterations=200"]
    _, script = PAGE.read_text(encoding="utf-8").split("```sh\n", 1)
    assert EXPERIMENT in script
    script = script.partition("```")[0].replace(EXPERIMENT, shlex.join(words))
    programs = {
        "srun": 'exec "$@"',
        "kfac-run": f'echo $$ > pid\nexec {shlex.quote(sys.executable)} -m kfac_cli "$@"',
        "scontrol": 'echo "$@" >> requeued',
    }
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    environment = {"SLURM_JOB_ID": "17", "SLURM_CPUS_PER_TASK": "1", "OMP_NUM_THREADS": "1"}
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"

    def start():
        return subprocess.Popen(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=os.environ | environment | {"PATH": path},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    return start


def test_the_job_is_requeued_after_a_warning_and_resumes_its_run(job, kfac_run, tmp_path):
    run = tmp_path / "outputs/slurm-17"
    first = job()
    table, deadline = run / "metrics.csv", time.monotonic() + 120
    while time.monotonic() < deadline and first.poll() is None:
        if table.exists() and len(table.read_text().splitlines()) > 3:
            break
        time.sleep(0.02)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGUSR1)
    assert first.wait(timeout=120) == 128 + signal.SIGUSR1
    assert (tmp_path / "requeued").read_text() == "requeue 17\n"
    assert json.loads((run / "summary.json").read_text())["reason"] == "SIGUSR1"

    assert job().wait(timeout=120) == 0
    assert (tmp_path / "requeued").read_text() == "requeue 17\n"
    words = [*overrides(tmp_path / "cases.npz"), "tensorboard=false", "iterations=200"]
    assert kfac_run(*words, "threads=1", "hydra.run.dir=whole").code == 0
    assert differences(run, tmp_path / "whole") == []
