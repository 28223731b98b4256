"""Sweeps: their jobs, their ranking, and what is refused before the first job."""

import json
import math
import re

import pytest

from kfac_cli.commands.sweeps import Job, jobs_in, sweep_ranking
from kfac_cli.errors import UserError

STAMP = r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]{8}"


def test_a_sweep_over_presets(kfac_run, runner):
    assert kfac_run("-m", "preset=paper,companion", "optimizer=kfac_diag,adam").code == 0
    found = [(c.preset.name, c.optimizer.name, c.polyak.start) for c, _ in runner.calls]
    names = [(p, o) for p in ("paper", "companion") for o in ("kfac_diag", "adam")]
    assert found == [(p, o, {"paper": 0, "companion": 200}[p]) for p, o in names]


def test_a_sweep_may_be_asked_for_by_hydras_setting(kfac_run, runner):
    assert kfac_run("hydra.mode=MULTIRUN", "experiment=smoke", "seed=0,1").code == 0
    assert [config.seed for config, _ in runner.calls] == [0, 1]


def test_a_sweep_that_was_refused_leaves_its_folder_free(kfac_run, runner):
    words = "-m", "experiment=smoke", "optimizer=kfac_tridiag,adam", "hydra.sweep.dir=sweep"
    assert kfac_run(*words, "optimizer.t3=5").code == 1
    assert kfac_run(*words).code == 0
    assert len(runner.calls) == 2


def test_a_sweep_runs_every_combination_in_folders_named_by_number_and_values(
    kfac_run, runner, tmp_path
):
    answer = kfac_run("-m", "optimizer=kfac_tridiag,kfac_diag,nesterov_sgd", "seed=0,1")
    assert answer.code == 0
    pairs = [(config.optimizer.name, config.seed) for config, _ in runner.calls]
    names = ("kfac_tridiag", "kfac_diag", "nesterov_sgd")
    assert pairs == [(name, seed) for name in names for seed in (0, 1)]
    folders = [folder.relative_to(tmp_path / "outputs/sweeps") for _, folder in runner.calls]
    assert [folder.name for folder in folders] == [
        f"{number}_optimizer={name},seed={seed}" for number, (name, seed) in enumerate(pairs)
    ]
    [sweep] = {str(folder.parent) for folder in folders}
    assert re.fullmatch(STAMP, sweep)


def test_a_sweep_ends_with_the_ranking_of_its_jobs(kfac_run, runner, tmp_path):
    errors = {0: 4.0, 1: math.inf, 2: 2.5}

    def behave(config):
        runner.best = errors[config.seed]
        return "finished"

    runner.behave = behave
    answer = kfac_run("-m", "experiment=smoke", "seed=0,1,2", "hydra.sweep.dir=sweep")
    lines = answer.out.splitlines()
    assert lines[lines.index("  best training errors") :] == [
        "  best training errors",
        "    2.500    seed=2  sweep/2_seed=2",
        "    4.000    seed=0  sweep/0_seed=0",
        "    none     seed=1  sweep/1_seed=1",
        "",
        "  kfac-report sweep  compares them",
    ]


def test_a_job_that_diverged_has_no_rank(kfac_run, runner):
    """Whatever its error was before."""

    def behave(config):
        runner.best = 4.0 if config.seed == 0 else 1.0
        return "finished" if config.seed == 0 else "diverged"

    runner.behave = behave
    answer = kfac_run("-m", "experiment=smoke", "seed=0,1", "hydra.sweep.dir=sweep")
    assert answer.code == 1
    assert (
        "    4.000    seed=0  sweep/0_seed=0\n    none     seed=1  sweep/1_seed=1\n" in answer.out
    )


def test_of_jobs_in_other_processes_the_folders_tell_which_have_no_rank(tmp_path):
    for number, (status, best) in enumerate(
        [("finished", 4.0), ("failed", 1.0), ("diverged", 0.5)]
    ):
        folder = tmp_path / f"{number}_seed={number}"
        folder.mkdir()
        summary = {"status": status, "iterations": 5, "best_train_error": best}
        (folder / "summary.json").write_text(json.dumps(summary))
    jobs = jobs_in(tmp_path, ["seed=0,1,2"])
    assert [job.best_train_error for job in jobs] == [4.0, math.inf, math.inf]


def test_a_refused_job_is_not_credited_with_the_run_in_its_folder(kfac_run, runner, tmp_path):
    kfac_run("hydra.run.dir='sweep/0_seed=0'")
    runner.best = 2.5
    answer = kfac_run("-m", "experiment=smoke", "seed=0,1", "hydra.sweep.dir=sweep")
    assert answer.code == 1
    assert (
        "    2.500    seed=1  sweep/1_seed=1\n    none     seed=0  sweep/0_seed=0\n" in answer.out
    )


def test_a_long_ranking_shows_the_best_jobs(tmp_path):
    jobs = [Job(tmp_path / str(number), [f"seed={number}"], 1.0) for number in range(30)]
    lines = sweep_ranking(jobs, tmp_path).splitlines()
    assert lines[-3] == "    and 10 more"
    assert len(lines) == 25


@pytest.mark.parametrize("error", [UserError("bad file"), ZeroDivisionError("bug")])
def test_a_failing_job_does_not_lose_the_others(kfac_run, runner, tmp_path, error):
    def behave(config):
        if config.seed == 1:
            raise error
        return "finished"

    runner.behave = behave
    answer = kfac_run("-m", "experiment=smoke", "seed=0,1,2", "hydra.sweep.dir=sweep")
    assert answer.code == 1
    assert [config.seed for config, _ in runner.calls] == [0, 1, 2]
    [line] = answer.err.splitlines()
    assert line.startswith("kfac-run: error: job 1 (seed=1): ")
    assert line.endswith(f"{error} [sweep/1_seed=1]")
    assert str(error) in (tmp_path / "sweep/1_seed=1/error.log").read_text()
    logs = [path.parent.name for path in (tmp_path / "sweep").glob("*/error.log")]
    assert logs == ["1_seed=1"]


def test_a_diverging_job_fails_alone(kfac_run, runner):
    runner.behave = lambda config: "diverged" if config.seed == 2 else "finished"
    answer = kfac_run("-m", "experiment=smoke", "seed=0,2,3")
    assert answer.code == 1
    assert [config.seed for config, _ in runner.calls] == [0, 2, 3]
    [line] = answer.err.splitlines()
    assert "job 1 (seed=2): the run diverged" in line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["seed=0,-1,2", "l2=0,1"],
            "job 2 (seed=-1 l2=0): seed=-1: must be a whole number from 0 to 9223372036854775807; "
            "no job was started",
        ),
        (
            ["optimizer=kfac_diag,adam", "optimizer.tau2=0.5,1"],
            "optimizer.tau2=0.5,1: no such setting with this choice of optimizer, but with "
            "optimizer=kfac_tridiag; kfac-run --cfg job lists them all",
        ),
        (
            ["optimizer.t3=5,20", "optimizer.t2=20,30"],
            "job 3 (optimizer.t3=20 optimizer.t2=30): optimizer.t2=30: must be a multiple of "
            "optimizer.t3, which is 20; no job was started",
        ),
        (
            ["optimizer=adam", "+optimizer.arguments.eps=1e-8,x", "schedule=fixed,stepwise"],
            None,
        ),
    ],
)
def test_every_value_of_a_sweep_is_checked_before_its_first_job(
    kfac_run, runner, tmp_path, words, line
):
    answer = kfac_run("-m", "experiment=smoke", "hydra.sweep.dir=sweep", *words)
    if line is None:  # arguments of torch are checked by torch
        assert answer.code == 0
        return
    assert answer.code == 1
    assert answer.err.splitlines() == [f"kfac-run: error: {line}"]
    assert runner.calls == []


def test_an_unknown_choice_in_a_sweep_is_refused_before_any_job_runs(kfac_run, runner):
    answer = kfac_run("-m", "dataset=curves,curvs")
    assert answer.code == 1
    assert answer.err.endswith(
        "error: dataset=curvs: must be arrays, curves, curves_small, faces, idx, mnist or "
        "mnist_labels\n"
    )
    assert runner.calls == []


def test_ctrl_c_ends_a_sweep(kfac_run, runner):
    def behave(config):
        if config.seed == 0:
            raise UserError("no such file")
        return "interrupted"

    runner.behave = behave
    answer = kfac_run("-m", "experiment=smoke", "seed=0,1,2")
    assert answer.code == 130
    assert [config.seed for config, _ in runner.calls] == [0, 1]
    assert "no such file" in answer.err


def test_sweepers_are_given_the_best_training_error_or_infinity(kfac_run, runner, monkeypatch):
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher

    launch, returned = BasicLauncher.launch, []

    def behave(config):
        if config.seed == 1:
            raise UserError("x")
        return "diverged" if config.seed == 2 else "finished"

    def launch_and_note(self, *arguments, **keywords):
        jobs = launch(self, *arguments, **keywords)
        returned.extend(job.return_value for job in jobs)
        return jobs

    monkeypatch.setattr(BasicLauncher, "launch", launch_and_note)
    runner.behave = behave
    kfac_run("-m", "experiment=smoke", "seed=0,1,2")
    assert returned == [1.5, float("inf"), float("inf")]


def test_a_sweep_over_schedules_under_an_experiment(kfac_run, runner):
    assert kfac_run("-m", "experiment=smoke", "schedule=fixed,stepwise").code == 0
    assert [config.schedule.kind for config, _ in runner.calls] == ["fixed", "stepwise"]
    assert [config.iterations for config, _ in runner.calls] == [10, 10]
