"""Sweeps whose jobs run beside each other, in processes of their own."""

import subprocess
import sys

import pytest
import torch
from hydra.errors import MissingConfigException
from soak.compare import differences
from soak.experiment import overrides, write_cases

from kfac_cli.commands.messages import explain
from kfac_cli.errors import UserError
from kfac_cli.run.session import choose_device


def test_parallel_jobs_share_the_terminal_line_by_line_and_equal_those_in_a_row(kfac_run, tmp_path):
    write_cases(tmp_path / "cases.npz")
    grid = [*overrides("cases.npz", iterations=8), "tensorboard=false", "seed=1,2", "threads=1"]
    others = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "dataset.file=cases.npz,nope.npz"]
    command = [sys.executable, "-m", "kfac_cli", "-m", *grid, "hydra.sweep.dir=parallel", *others]
    parallel = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert parallel.returncode == 1
    for job, seed in [(0, 1), (1, 2)]:
        name = f"job {job} (dataset.file=cases.npz seed={seed})"
        lines = [line for line in parallel.stderr.splitlines() if line.startswith(name)]
        assert lines[0].endswith("arrays, kfac_tridiag: 8 iterations")
        assert [line.partition(": ")[2].partition(":")[0] for line in lines[1:]] == [
            "iteration 4/8",
            "iteration 8/8",
        ]
        assert f"{name}: arrays, kfac_tridiag: finished after 8 iterations" in parallel.stdout
    ranking = parallel.stdout.partition("best training errors\n")[2].splitlines()
    done = [f"{job}_dataset.file=cases.npz,seed={seed}" for job, seed in [(0, 1), (1, 2)]]
    assert {line.split()[-1] for line in ranking[:2]} == {f"parallel/{name}" for name in done}
    assert "  kfac-report parallel  compares them" in ranking
    for job, seed in [(2, 1), (3, 2)]:
        refusal = (
            f"job {job} (dataset.file=nope.npz seed={seed}): {tmp_path}/nope.npz: no such file"
        )
        assert refusal in parallel.stderr
    assert kfac_run("-m", *grid, "hydra.sweep.dir=in_a_row").code == 0
    for job, name in enumerate(done):
        assert (
            differences(tmp_path / f"parallel/{name}", tmp_path / f"in_a_row/{job}_seed={job + 1}")
            == []
        )


def test_parallel_jobs_take_the_gpus_in_turn(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    devices = [str(choose_device("auto", turn)) for turn in range(4)]
    assert devices == ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]
    assert str(choose_device("cuda")) == "cuda"
    assert str(choose_device("cpu", turn=1)) == "cpu"


def test_a_gpu_that_is_named_by_its_number_is_taken_whatever_the_turn(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert str(choose_device("cuda:2")) == "cuda:2"
    assert [str(choose_device("cuda:1", turn)) for turn in range(3)] == ["cuda:1"] * 3


@pytest.mark.parametrize(
    ("count", "setting", "line"),
    [
        (3, "cuda:3", "device=cuda:3: there is no such GPU; this machine has cuda:0 to cuda:2"),
        (1, "cuda:1", "device=cuda:1: there is no such GPU; this machine has cuda:0"),
        (0, "cuda:0", "device=cuda:0: no CUDA device was found; use device=auto or cpu"),
        (0, "cuda", "device=cuda: no CUDA device was found; use device=auto or cpu"),
    ],
)
def test_a_gpu_that_does_not_exist_is_refused(monkeypatch, count, setting, line):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(UserError, match=f"^{line}$"):
        choose_device(setting)


@pytest.mark.parametrize(
    ("launcher", "extra"),
    [("joblib", "parallel"), ("submitit_slurm", "slurm"), ("submitit_local", "slurm")],
)
def test_a_launcher_that_is_not_installed_is_said_to_need_its_extra(launcher, extra):
    missing = MissingConfigException(
        f"In 'config': Could not find 'hydra/launcher/{launcher}'\n\n"
        "Available options in 'hydra/launcher':\n\tbasic\nConfig search path:\n",
        missing_cfg_file=None,
    )
    assert explain(missing, [f"hydra/launcher={launcher}"]) == (
        f"hydra/launcher={launcher}: is not installed: "
        f"pip install '.[{extra}]' in the folder of kfac-run's source"
    )


def test_the_configuration_for_slurm_asks_for_a_warning_before_the_time_limit(kfac_run):
    pytest.importorskip("submitit")
    answer = kfac_run("--cfg", "hydra", "-p", "hydra.launcher", "hydra/launcher=slurm")
    assert answer.code == 0, answer.err
    assert "SlurmLauncher" in answer.out
    assert "signal_delay_s: 120" in answer.out
