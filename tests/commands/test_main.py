"""The command kfac-run: its messages, the folders of runs, exit codes."""

import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from kfac_cli.commands.help_page import PAGE
from kfac_cli.commands.main import run_stamp
from kfac_cli.commands.messages import choices
from kfac_cli.commands.sweeps import Job, sweep_ranking
from kfac_cli.config.compose import load_config
from kfac_cli.config.schema import RunConfig
from kfac_cli.config.validation import validate
from kfac_cli.data.options import CurvesOptions
from kfac_cli.data.registry import DATASETS
from kfac_cli.errors import UserError
from kfac_cli.recording.csv_table import read_table
from kfac_cli.run.session import Session
from kfac_cli.signals import EXIT_SIGNAL, NAMES, WARNING_NAMES
from kfac_cli.torch_module import load_network

STAMP = r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]{8}"
SHIPPED = "kfac-run --cfg job lists them all"


# Settings and folders of runs


def test_a_run_gets_the_checked_settings_and_a_new_folder(kfac_run, runner, tmp_path):
    answer = kfac_run("experiment=smoke", "seed=7")
    assert (answer.code, answer.err) == (0, "")
    [(config, folder)] = runner.calls
    assert config == load_config(["experiment=smoke", "seed=7"])
    assert re.fullmatch(rf"outputs/curves/kfac_tridiag/{STAMP}", str(folder.relative_to(tmp_path)))
    assert validate(OmegaConf.load(folder / "config.yaml")) == config


@pytest.mark.parametrize("preset", choices("preset"))
def test_config_yaml_has_plain_values_and_the_name_of_the_preset(
    kfac_run, runner, tmp_path, preset
):
    assert kfac_run(f"preset={preset}", "dataset=faces", "hydra.run.dir=mine").code == 0
    text = (tmp_path / "mine/config.yaml").read_text()
    assert "${" not in text
    record = OmegaConf.to_container(OmegaConf.create(text))
    assert record["preset"] == {"name": preset}
    [(config, _)] = runner.calls
    assert record["polyak"]["start"] == config.polyak.start
    assert record["optimizer"]["tau2"] == config.optimizer.tau2
    assert record["l2"] == (5e-6 if preset == "companion" else 1e-5)


@pytest.mark.parametrize("part", [[], ["--package", "optimizer"]], ids=["all", "part"])
def test_the_settings_are_shown_with_their_values(kfac_run, part):
    answer = kfac_run("--cfg", "job", *part, "preset=paper")
    assert re.search(r"^ *lambda_initial: 150$", answer.out, re.M)
    assert "${" not in answer.out


def test_a_sweep_over_presets(kfac_run, runner):
    assert kfac_run("-m", "preset=paper,companion", "optimizer=kfac_diag,adam").code == 0
    found = [(c.preset.name, c.optimizer.name, c.polyak.start) for c, _ in runner.calls]
    names = [(p, o) for p in ("paper", "companion") for o in ("kfac_diag", "adam")]
    assert found == [(p, o, {"paper": 0, "companion": 200}[p]) for p, o in names]


def test_runs_of_the_same_second_have_different_folders(kfac_run, runner, monkeypatch):
    for _ in range(3):
        kfac_run("optimizer=nesterov_sgd", "dataset=mnist")
    assert len({folder for _, folder in runner.calls}) == 3
    assert {folder.parent.name for _, folder in runner.calls} == {"nesterov_sgd"}
    assert len({run_stamp() for _ in range(100)}) == 100  # a collision has probability 1e-6


def test_a_folder_that_holds_a_run_is_not_given_to_another(kfac_run, runner, tmp_path):
    assert kfac_run("hydra.run.dir=mine", "seed=1").code == 0
    before = (tmp_path / "mine/config.yaml").read_text()
    answer = kfac_run("hydra.run.dir=mine", "seed=2")
    assert answer.code == 1
    assert answer.err == "kfac-run: error: mine: holds another run; choose a new folder\n"
    assert (tmp_path / "mine/config.yaml").read_text() == before
    assert len(runner.calls) == 1


def contents(folder):
    """Every file below a folder with its bytes, every folder with None."""
    return {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def test_a_refused_run_leaves_the_folder_of_another_as_it_is(kfac_run, runner, tmp_path):
    kfac_run("hydra.run.dir=mine", "seed=1")
    before = contents(tmp_path)
    assert kfac_run("hydra.run.dir=mine", "seed=2").code == 1
    assert contents(tmp_path) == before


def test_config_yaml_is_the_only_record_of_the_settings(kfac_run, runner, tmp_path):
    kfac_run("hydra.run.dir=mine")
    kfac_run("-m", "hydra.sweep.dir=sweep", "seed=0,1")
    records = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.yaml")}
    assert records == {
        f"{run}/config.yaml" for run in ("mine", "sweep/0_seed=0", "sweep/1_seed=1")
    } | {"sweep/multirun.yaml"}


def test_a_file_of_settings_cannot_have_hydra_write_a_record_either(kfac_run, runner, tmp_path):
    kfac_run("hydra.run.dir=mine")
    (tmp_path / "own/record").mkdir(parents=True)
    (tmp_path / "own/record/elsewhere.yaml").write_text(
        f"# @package hydra\noutput_subdir: {tmp_path}/mine\n"
    )
    before = contents(tmp_path / "mine")
    assert kfac_run("--config-dir=own", "+record=elsewhere", "hydra.run.dir=new").code == 0
    assert kfac_run("--config-dir=own", "-m", "+record=elsewhere", "seed=2,3").code == 0
    assert contents(tmp_path / "mine") == before
    assert len(runner.calls) == 4


@pytest.mark.parametrize(("folder", "holds"), [("mine", "a run"), ("sweep", "another sweep")])
def test_a_sweep_is_not_put_over_a_run_or_another_sweep(kfac_run, runner, tmp_path, folder, holds):
    kfac_run("hydra.run.dir=mine")
    kfac_run("-m", "hydra.sweep.dir=sweep", "seed=0,1")
    before = contents(tmp_path)
    answer = kfac_run("-m", f"hydra.sweep.dir={folder}", "seed=2,3")
    line = f"kfac-run: error: hydra.sweep.dir={folder}: holds {holds}; choose a new folder\n"
    assert (answer.code, answer.err) == (1, line)
    assert contents(tmp_path) == before


def test_without_arguments_it_trains_with_the_defaults(kfac_run, runner):
    assert kfac_run().code == 0
    [(config, _)] = [call[:2] for call in runner.calls]
    assert config.dataset.name == "curves"
    assert config.optimizer.name == "kfac_tridiag"


def test_a_sweep_that_was_refused_leaves_its_folder_free(kfac_run, runner):
    words = "-m", "experiment=smoke", "optimizer=kfac_tridiag,adam", "hydra.sweep.dir=sweep"
    assert kfac_run(*words, "optimizer.t3=5").code == 1
    assert kfac_run(*words).code == 0
    assert len(runner.calls) == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_help_that_cannot_be_written_is_one_line():
    code = "import sys; from kfac_cli.__main__ import main; sys.exit(main())"
    with open("/dev/full", "w") as full:
        answer = subprocess.run(
            [sys.executable, "-c", code, "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert answer.returncode == 1
    assert answer.stderr == "kfac-run: error: standard output: No space left on device\n"


def test_warnings_of_libraries_reach_the_terminal_and_the_log(kfac_run, runner, tmp_path):
    def behave(config):
        import logging

        logging.getLogger("some.library").warning("careful\x1b[31m")  # control codes are escaped
        logging.getLogger("some.library").info("by the way")
        return "finished"

    runner.behave = behave
    answer = kfac_run("experiment=smoke", "hydra.run.dir=mine")
    assert r"careful\x1b[31m" in answer.err
    assert "by the way" not in answer.err
    log = (tmp_path / "mine/run.log").read_text()
    assert "careful" in log
    assert "by the way" in log


# Exit codes


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("finished", 0),
        ("target reached", 0),
        ("target not reached", 0),
        ("time limit reached", 0),
        ("diverged", 1),
        ("interrupted", 130),
        ("terminated", 143),
    ],
)
def test_the_exit_code_says_how_the_run_ended(kfac_run, runner, status, code):
    runner.behave = lambda config: status
    assert kfac_run("experiment=smoke").code == code


REQUIRED = ["experiment=smoke", "target_error=0.5", "require_target=true"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("target reached", 0),
        ("target not reached", 1),
        ("diverged", 1),
        ("interrupted", 130),
        ("terminated", 143),
    ],
)
def test_a_required_target_decides_the_exit_code(kfac_run, runner, status, code):
    runner.behave = lambda config: status
    assert kfac_run(*REQUIRED).code == code


def test_a_required_target_that_was_missed_is_one_line(kfac_run, runner, tmp_path):
    runner.behave = lambda config: "target not reached"
    answer = kfac_run(*REQUIRED, "hydra.run.dir=mine")
    assert answer.err == (
        "kfac-run: error: target_error=0.5: not reached, the best training error is 1.500; the "
        "results are in mine\n"
    )
    assert not (tmp_path / "mine/error.log").exists()


@pytest.mark.parametrize(("done", "hint"), [(3, True), (None, False)])
def test_a_target_missed_for_lack_of_time_says_how_to_continue(kfac_run, runner, done, hint):
    runner.behave, runner.done = lambda config: "target not reached", done
    assert ("continues from here" in kfac_run("experiment=smoke", "target_error=0").out) == hint


def test_a_required_target_without_a_target_is_refused(kfac_run, runner, tmp_path):
    answer = kfac_run("experiment=smoke", "require_target=true")
    line = "kfac-run: error: require_target=true: needs target_error; set it to a number\n"
    assert (answer.code, answer.err) == (1, line)
    assert not list(tmp_path.iterdir())


def test_in_a_sweep_a_job_that_misses_a_required_target_keeps_its_result(
    kfac_run, runner, tmp_path
):
    runner.behave = lambda config: "target not reached" if config.seed == 1 else "target reached"
    answer = kfac_run("-m", *REQUIRED, "seed=0,1,2", "hydra.sweep.dir=sweep")
    assert answer.code == 1
    assert [config.seed for config, _ in runner.calls] == [0, 1, 2]
    [line] = answer.err.splitlines()
    assert "seed=1): target_error=0.5: not reached, the best training error is 1.500" in line
    assert not list(tmp_path.glob("sweep/*/error.log"))


def fail_with(error):
    def behave(config):
        raise error

    return behave


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("faces.pkz: is truncated"), "faces.pkz: is truncated"),
        (OSError(28, "No space left on device", "metrics.csv"), "metrics.csv: No space left on"),
        (MemoryError(), "out of memory: set a smaller chunk_size or use a smaller network"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            "out of memory: set a smaller chunk_size",
        ),
    ],
)
def test_a_mistake_or_a_full_machine_is_one_line(kfac_run, runner, tmp_path, error, line):
    runner.behave = fail_with(error)
    answer = kfac_run("experiment=smoke", "hydra.run.dir=mine")
    assert answer.code == 1
    assert answer.err.startswith(f"kfac-run: error: {line}")
    assert answer.err.count("\n") == 1
    assert type(error).__name__ in (log := (tmp_path / "mine/error.log").read_text()) or line in log


def test_a_bug_shows_its_traceback_and_leaves_it_in_the_folder(kfac_run, runner, tmp_path):
    runner.behave = fail_with(ZeroDivisionError("a\nbug"))
    answer = kfac_run("experiment=smoke", "hydra.run.dir=mine")
    assert answer.code == 1
    assert "Traceback" in answer.err
    assert answer.err.endswith("\nkfac-run: error: ZeroDivisionError: a bug\n")
    assert "in behave" in (tmp_path / "mine/error.log").read_text()


def test_progress_shows_before_torch_loads_and_releases_the_terminal(kfac_run, runner):
    runner.behave = fail_with(ZeroDivisionError("a bug"))
    kfac_run("experiment=smoke")
    assert runner.shown == ["curves, kfac_tridiag", "closed"]


def test_ctrl_c_before_the_loop_is_an_interruption_too(kfac_run, runner):
    runner.behave = fail_with(KeyboardInterrupt())
    answer = kfac_run("experiment=smoke")
    assert (answer.code, answer.err) == (130, "kfac-run: interrupted\n")


# Sweeps


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


def test_a_refused_job_is_not_credited_with_the_run_in_its_folder(kfac_run, runner, tmp_path):
    kfac_run("hydra.run.dir='sweep/0_seed=0'")
    runner.best = 2.5
    answer = kfac_run("-m", "experiment=smoke", "seed=0,1", "hydra.sweep.dir=sweep")
    assert answer.code == 1
    assert (
        "    2.500    seed=1  sweep/1_seed=1\n    none     seed=0  sweep/0_seed=0\n" in answer.out
    )


def test_a_start_after_a_failed_one_leaves_no_error_log(kfac_run, runner, tmp_path):
    assert kfac_run("hydra.run.dir=mine", "seed=${oc.env:NOT_SET_AT_ALL}").code == 1
    assert (tmp_path / "mine/error.log").exists()
    assert kfac_run("hydra.run.dir=mine").code == 0
    assert not (tmp_path / "mine/error.log").exists()


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


def test_values_are_checked_where_settings_are_only_printed(kfac_run, runner):
    answer = kfac_run("iterations=0", "--cfg", "job")
    assert answer.code == 1
    assert answer.out.startswith("iterations: 0\n")
    assert answer.err == (
        "kfac-run: error: iterations=0: must be a whole number from 1 to 1000000000\n"
    )
    answer = kfac_run("dataset=arrays", "--cfg", "job", "--package", "dataset")
    assert "layer_sizes: ???" in answer.out
    assert answer.err.startswith("kfac-run: error: dataset.layer_sizes: has no value; give one as")


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

    def launch_and_note(self, *arguments, **keywords):
        jobs = launch(self, *arguments, **keywords)
        returned.extend(job.return_value for job in jobs)
        return jobs

    monkeypatch.setattr(BasicLauncher, "launch", launch_and_note)
    runner.behave = lambda config: (
        "finished" if config.seed == 0 else fail_with(UserError("x"))(config)
    )
    kfac_run("-m", "experiment=smoke", "seed=0,1")
    assert returned == [1.5, float("inf")]


# Mistakes on the command line: one line, exit code 1, and no folder


MISTAKES = [
    (["iterations=0"], "iterations=0: must be a whole number from 1 to 1000000000"),
    (["iterations=abc"], "iterations=abc: must be a whole number from 1 to 1000000000"),
    (["chunk_size=-5"], "chunk_size=-5: must be auto or a whole number from 1 to 1000000000"),
    (["optimizer.tau1=2"], "optimizer.tau1=2: must be a number in (0, 1]"),
    (["optimizer.t2=30"], "optimizer.t2=30: must be a multiple of optimizer.t3, which is 20"),
    (["iteration=5"], f"iteration=5: no such setting; did you mean iterations? {SHIPPED}"),
    (
        ["optimizer.mu_max=0.9"],
        "optimizer.mu_max=0.9: no such setting with this choice of optimizer, but with "
        f"optimizer=nesterov_sgd; {SHIPPED}",
    ),
    (
        ["optimizer=adam", "optimizer.arguments.eps=1e-6"],
        "optimizer.arguments.eps=1e-6: is not there yet; add it with a plus: "
        "'+optimizer.arguments.eps=1e-6'",
    ),
    (["foo/bar=1"], f"foo/bar=1: no such setting; {SHIPPED}"),
    (["optimizer={a: 1}"], f"optimizer.a: no such setting; {SHIPPED}"),
    (["~nope"], f"~nope: no such setting; {SHIPPED}"),
    (["hydra.nope=1"], f"hydra.nope=1: no such setting; {SHIPPED}"),
    (
        ["dataset@here=mnist"],
        "dataset@here=mnist: no such group of settings; the groups are dataset, preset, "
        "optimizer, schedule, experiment",
    ),
    (
        ["dataset=curvs"],
        "dataset=curvs: must be arrays, curves, curves_small, faces, idx, mnist or mnist_labels",
    ),
    (
        ["dataset=../x"],
        "dataset=../x: must be arrays, curves, curves_small, faces, idx, mnist or mnist_labels",
    ),
    (
        ["dataset="],
        'dataset="": must be arrays, curves, curves_small, faces, idx, mnist or mnist_labels',
    ),
    (
        ["dataset=3"],
        "dataset=3: must be arrays, curves, curves_small, faces, idx, mnist or mnist_labels",
    ),
    (
        ["optimizer=null"],
        "optimizer=null: must be adam, adamw, heskes, kfac_diag, kfac_tridiag, ",
    ),
    (["+dataset=mnist"], "dataset: chosen twice; write dataset=CHOICE without a +"),
    (["~preset"], "preset: has no value; give one as preset=VALUE"),
    (["preset.tau2=1"], "preset.tau2=1: cannot be set; set optimizer.tau2 instead"),
    (["preset=papers"], "preset=papers: must be companion, default or paper"),
    (["~optimizer"], "optimizer: has no value; give one as optimizer=VALUE"),
    (
        ["seed=0,1"],
        "seed=0,1: several values, one run each, need -m (kfac-run -m ...); a list is written in "
        "brackets: [A,B]",
    ),
    (["seed=range(3)"], "seed=range(3): several values, one run each, need -m"),
    (["smoke"], "smoke: must have the form SETTING=VALUE"),
    ([""], '"": must have the form SETTING=VALUE'),
    (["iterations=[1"], "iterations=[1: cannot be read; brackets and quotes must close"),
    (["data_dir=ünï"], "data_dir=ünï: cannot be read; brackets and quotes must close"),
    (["data_dir=\udcff"], '"data_dir=\\udcff": cannot be read'),
    (["iterations=" + "9" * 5000], f"iterations={'9' * 46}...: cannot be read"),
    (["iterations=" + "[" * 3000], f"iterations={'[' * 46}...: cannot be read"),
    (["--nonsense"], "--nonsense: not recognized here; put options before the settings"),
    (["seed=0,1", "-m", "l2=0"], "l2=0: not recognized here; put options before the settings"),
    (["--cfg", "job", "--package", "nowhere"], "--package nowhere: no such part of the settings"),
    (["--cfg", "jobs"], "argument --cfg/-c: invalid choice: 'jobs'"),
    (["-m", "--cfg", "job"], "Only one of --run, --multirun, --cfg"),
    (["--config-dir", "/nowhere"], "Additional config directory '/nowhere' not found"),
    (["--experimental-rerun", "config.pickle"], "--experimental-rerun: refused, because it"),
    (["hydra.output_subdir="], "hydra.output_subdir=: cannot be set; the settings of a run are"),
    (
        ["-m", "++hydra.output_subdir=/x", "seed=0,1"],
        "++hydra.output_subdir=/x: cannot be set; the",
    ),
    (["-m", "hydra.sweeper.params={hydra.output_subdir:x}"], "hydra.sweeper.params={hydra.output"),
    (["hydra.run.dir=${nowhere}"], "Interpolation key 'nowhere' not found"),
]


@pytest.mark.parametrize(
    ("arguments", "line"), MISTAKES, ids=[ascii(" ".join(m[0])[:50]) for m in MISTAKES]
)
def test_a_mistake_on_the_command_line_is_one_line(kfac_run, runner, tmp_path, arguments, line):
    answer = kfac_run(*arguments)
    assert answer.code == 1
    assert answer.err.startswith(f"kfac-run: error: {line}")
    assert answer.err.count("\n") == 1
    assert answer.out == ""
    assert runner.calls == []
    assert list(tmp_path.iterdir()) == []


def test_an_interpolation_that_cannot_be_resolved_is_one_line(kfac_run, runner):
    answer = kfac_run("l2=${oc.env:KFAC_NOT_SET_AT_ALL}")
    assert answer.code == 1
    assert answer.err.startswith("kfac-run: error: l2: KeyError raised while resolving")
    assert answer.err.count("\n") == 1
    assert runner.calls == []


def test_a_missing_current_folder_is_one_line(kfac_run, runner, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    answer = kfac_run("experiment=smoke")
    assert answer.code == 1
    assert answer.err == (
        "kfac-run: error: the current folder: No such file or directory; "
        "change to a folder that exists\n"
    )


def test_a_folder_that_cannot_be_created_is_one_line(kfac_run, runner, tmp_path):
    (tmp_path / "outputs").write_text("a file in the way")
    answer = kfac_run("experiment=smoke")
    assert answer.code == 1
    assert re.fullmatch(r"kfac-run: error: outputs/\S+: Not a directory\n", answer.err)


def test_a_disk_that_is_full_when_a_sweep_begins_is_one_line_with_its_folder(
    kfac_run, runner, monkeypatch
):
    def save(config, path):
        raise OSError(28, "No space left on device")  # writing to an open file names none

    monkeypatch.setattr(OmegaConf, "save", save)
    answer = kfac_run("-m", "experiment=smoke", "seed=0,1", "hydra.sweep.dir=sweep")
    assert answer.err == "kfac-run: error: sweep: No space left on device\n"


def test_an_existing_folder_that_is_read_only_is_one_line(kfac_run, runner, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()

    def refused(path, **options):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "unlink", refused)
    answer = kfac_run("experiment=smoke", "hydra.run.dir=mine")
    assert answer.err == f"kfac-run: error: {tmp_path}/mine/error.log: Read-only file system\n"


def test_hydras_own_switch_for_tracebacks_still_works(kfac_run, runner, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    answer = kfac_run("dataset=curvs")
    assert answer.code == 1
    assert "Traceback" in answer.err
    assert answer.err.endswith(
        "error: dataset=curvs: must be arrays, curves, curves_small, faces, idx, mnist or "
        "mnist_labels\n"
    )
    assert os.environ["HYDRA_FULL_ERROR"] == "1"


def test_settings_may_refer_to_each_other_and_to_the_folder(kfac_run, runner, tmp_path):
    arguments = ("evaluate_every=${iterations}", "data_dir=${hydra:runtime.cwd}/data")
    assert kfac_run("experiment=smoke", *arguments).code == 0
    [(config, _)] = runner.calls
    assert (config.evaluate_every, config.data_dir) == (10, f"{tmp_path}/data")


# Without a run


def without_torch(*arguments, **environment):
    """Call kfac-run in a process where importing torch, or what needs it, fails."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'torchvision', 'matplotlib', "
        "'sklearn', 'scipy', 'tensorboard'))); sys.argv[0] = 'kfac-run'; "
        "from kfac_cli.__main__ import main; sys.exit(main())"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--version"], r"\Akfac-run \d+\.\d+\.\d+\n\Z"),
        (["--help"], r"usage:  kfac-run"),
        (["--cfg", "job"], r"\Aiterations: 500\n(.*\n)*dataset:\n  name: curves\n"),
        (["--info"], r"Config search path"),
        (["-sc", "install=bash"], r"complete -o nospace -o default -F hydra_bash_completion"),
        (["iterations=0"], r"\A\Z"),
    ],
)
def test_without_a_run_torch_is_not_needed(arguments, expected):
    answer = without_torch(*arguments)
    assert re.search(expected, answer.stdout), answer
    assert answer.returncode == (1 if arguments == ["iterations=0"] else 0)
    assert "Traceback" not in answer.stderr


def test_the_tab_key_completes_choices():
    typed = "kfac-run experiment=mnist_n"
    answer = without_torch("-sc", "query=bash", COMP_LINE=typed, COMP_POINT=str(len(typed)))
    assert answer.stdout == "experiment=mnist_nesterov_sgd\n"


@pytest.mark.parametrize("key", ["resume", "start_from"])
def test_the_tab_key_completes_the_folders_of_runs(tmp_path, key):
    for name in ("runs/a1/config.yaml", "runs/a2/b/config.yaml", "runs/other/config.yaml"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "runs/a3.txt").touch()

    def completions(text):
        typed = f"kfac-run iterations=9 {key}={tmp_path}/{text}"
        answer = without_torch("-sc", "query=bash", COMP_LINE=typed, COMP_POINT=str(len(typed)))
        return [word.removeprefix(f"{key}={tmp_path}/") for word in answer.stdout.split()]

    assert completions("ru") == ["runs/"]
    assert completions("runs/a") == ["runs/a1", "runs/a2/"]
    assert completions("runs/nope") == []


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["iterations=3", "--help"]], ids=str)
def test_help_loads_nothing_else(arguments):
    """It answers before a command of Hydra's would have been imported."""
    code = (
        "import sys; from kfac_cli.__main__ import main; main()\n"
        "print({name.partition('.')[0] for name in sys.modules} & {'torch', 'pydantic', 'hydra'})"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60
    )
    assert answer.stdout.startswith("kfac-run trains")
    assert answer.stdout.splitlines()[-1] == "set()"


@pytest.mark.skipif(sys.platform != "linux", reason="the page has the numbers of Linux")
def test_the_help_page_has_the_exit_code_of_every_signal():
    names = {f"{signal.Signals[name] + EXIT_SIGNAL} {name}" for name in (*NAMES, *WARNING_NAMES)}
    codes = PAGE.partition("128 plus")[2]
    assert names - {"130 SIGINT"} | {"130 Ctrl-C"} == set(
        re.findall(r"\d+ (?:SIG\w+|Ctrl-C)", codes)
    )


@pytest.mark.parametrize(
    ("experiment", "schedule"),
    [
        *((experiment, "fixed") for experiment in choices("experiment")),
        *(("mnist_nesterov_sgd", schedule) for schedule in choices("schedule")),
    ],
)
def test_every_experiment_takes_another_schedule(experiment, schedule):
    config = load_config([f"experiment={experiment}", f"schedule={schedule}"])
    assert config.schedule == load_config([f"schedule={schedule}"]).schedule


def test_a_sweep_over_schedules_under_an_experiment(kfac_run, runner):
    assert kfac_run("-m", "experiment=smoke", "schedule=fixed,stepwise").code == 0
    assert [config.schedule.kind for config, _ in runner.calls] == ["fixed", "stepwise"]
    assert [config.iterations for config, _ in runner.calls] == [10, 10]


def test_help_names_every_choice(kfac_run):
    page = kfac_run("--help").out
    for group in ("dataset", "preset", "optimizer", "schedule"):
        assert group in page
        assert all(choice in page for choice in choices(group))
    for experiment in choices("experiment"):
        problem = load_config([f"experiment={experiment}"]).dataset.name
        assert problem in page
        assert experiment.removeprefix(f"{problem}_") in page
    assert max(map(len, page.splitlines())) <= 100


def test_the_defaults_that_help_shows_are_the_defaults(kfac_run):
    page = kfac_run("--help").out
    config = load_config()
    for name in ("iterations", "seed", "device", "evaluate_every", "chunk_size", "l2"):
        [value] = re.findall(rf"^  {name}=(\S+)", page, re.M)
        assert type(getattr(config, name))(value) == getattr(config, name)
    [tau2] = re.findall(r"^  optimizer.tau2=(\S+)", page, re.M)
    assert float(tau2) == config.optimizer.tau2


# With the real runner


TINY = {
    "curves": ["dataset.train_cases=60", "dataset.test_cases=20"],
    "mnist": ["dataset.train_cases=60", "dataset.test_cases=20"],
    "mnist_labels": ["dataset.train_cases=60", "dataset.test_cases=20"],
    "faces": [
        "dataset.crops_per_photograph=2",
        "dataset.train_cases=60",
        "dataset.test_cases=20",
    ],
}


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_runs(kfac_run, tmp_path, request, experiment):
    problem = load_config([f"experiment={experiment}"]).dataset.name
    data = tmp_path if problem == "curves" else request.getfixturevalue("real_data_folder")
    widths = load_config([f"experiment={experiment}"]).dataset.layer_sizes
    schedule = load_config([f"experiment={experiment}"]).schedule
    batches = ["schedule.initial=20"] if schedule.kind == "exponential" else ["schedule.size=30"]
    answer = kfac_run(
        f"experiment={experiment}",
        "iterations=2",
        f"data_dir={data}",
        f"dataset.layer_sizes=[{widths[0]},5,3,{widths[-1]}]",
        "dataset.activations=[logistic,linear]",
        "hydra.run.dir=run",
        "tensorboard=false",
        *TINY[problem],
        *batches,
    )
    assert answer.code == 0, answer.err
    assert [row["iteration"] for row in read_table(tmp_path / "run/metrics.csv")] == [1, 2]
    assert json.loads((tmp_path / "run/summary.json").read_text())["status"] == "finished"
    names = {"config.yaml", "evaluations.csv", "run.png", "run.log"}
    assert names <= {path.name for path in (tmp_path / "run").iterdir()}


def test_a_run_that_ends_as_planned_keeps_no_checkpoint_if_it_is_told_so(kfac_run, tmp_path):
    words = ("experiment=smoke", "checkpoint.keep=0", "checkpoint.every=1", "hydra.run.dir=mine")
    assert kfac_run(*words, "iterations=2", "tensorboard=false").code == 0
    assert list((tmp_path / "mine").glob("checkpoint*")) == []
    assert load_network(tmp_path / "mine/parameters.pt") is not None
    answer = kfac_run("resume=mine")
    assert answer.out == (
        "mine: finished after 2 iterations; it holds no checkpoint, so that nothing continues it\n"
    )
    answer = kfac_run("resume=mine", "iterations=3")
    assert answer.err == (
        "kfac-run: error: mine: has ended and holds no checkpoint to resume from (checkpoint.keep="
        "0 keeps none once a run has ended as planned)\n"
    )
    answer = kfac_run("experiment=smoke", "start_from=mine")
    assert "start_from=mine: holds no checkpoint; give the folder of a run that kept one" in (
        answer.err
    )


def test_a_run_that_may_go_on_keeps_its_checkpoint_in_any_case(kfac_run, tmp_path):
    words = ("experiment=smoke", "checkpoint.keep=0", "max_seconds=1e-9", "hydra.run.dir=mine")
    assert kfac_run(*words, "tensorboard=false").code == 0
    assert [path.name for path in (tmp_path / "mine").glob("checkpoint*")] == [
        "checkpoint-1.safetensors"
    ]


def test_a_failed_job_leaves_a_summary_with_its_status(kfac_run, tmp_path, monkeypatch):
    step = Session.step

    def fails_at_iteration_6_of_8(self):
        if self.iteration == 5 and self.schedule.size(1) == 100:
            raise MemoryError
        return step(self)

    monkeypatch.setattr(Session, "step", fails_at_iteration_6_of_8)
    words = ["experiment=smoke", "iterations=8", "tensorboard=false", "hydra.sweep.dir=sweep"]
    assert kfac_run("-m", *words, "schedule.initial=50,100").code == 1
    summary = json.loads((tmp_path / "sweep/1_schedule.initial=100/summary.json").read_text())
    assert summary["status"] == "failed"
    assert summary["reason"].startswith("out of memory: set a smaller chunk_size")
    assert (summary["iterations"], summary["iterations_planned"]) == (5, 8)
    assert summary["best_train_error"] > 0
    assert summary["settings"]["schedule.initial"] == 100
    monkeypatch.setattr(Session, "step", step)
    answer = kfac_run("-m", "resume=sweep")
    assert answer.code == 0, answer.err
    summary = json.loads((tmp_path / "sweep/1_schedule.initial=100/summary.json").read_text())
    assert (summary["status"], summary["iterations"]) == ("finished", 8)


def test_the_smoke_experiment_needs_no_files(kfac_run, tmp_path):
    answer = kfac_run("experiment=smoke", f"data_dir={tmp_path}/data")
    assert answer.code == 0
    assert "finished" in answer.out
    assert [str(path.name) for path in (tmp_path / "data").iterdir()] == ["curves"]


@pytest.mark.parametrize(
    ("setup", "named"),
    [
        (["dataset=arrays", "dataset.file=none.npz"], "none.npz"),
        (["device=cuda"], "device=cuda"),
        (["device=cpu", "matmul=tf32"], "matmul=tf32: is for a GPU; on a CPU set matmul=auto"),
        (
            ["device=cpu", "dtype=float64", "matmul=onednn"],
            "matmul=onednn: is for device=cpu and dtype=float32; set matmul=auto",
        ),
    ],
)
def test_an_error_found_only_during_a_run_is_one_line_too(kfac_run, tmp_path, setup, named):
    if named == "device=cuda" and __import__("torch").cuda.is_available():
        pytest.skip("there is a CUDA device here")
    shape = ["dataset.layer_sizes=[784,3,784]", "dataset.activations=[linear]"]
    shape += ["dataset.output=gaussian"]
    arguments = ["iterations=2", f"data_dir={tmp_path}", *setup, *shape]
    config = load_config(arguments)
    answer = kfac_run(*arguments)
    assert answer.code == 1
    progress, line = answer.err.splitlines()
    assert progress.startswith(config.title)
    assert line.startswith("kfac-run: error: ")
    assert named in line
    [summary] = tmp_path.glob("outputs/**/summary.json")
    assert json.loads(summary.read_text())["status"] == "failed"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["optimizer=torch", "optimizer.algorithm=LBFGS"],
            "optimizer.algorithm=LBFGS: does not fit: it evaluates the objective several times a "
            "step",
        ),
        (
            ["optimizer=torch", "optimizer.algorithm=os.system"],
            "optimizer.algorithm=os.system: must be Adadelta, Adafactor, ",
        ),
        (
            ["optimizer=adam", "+optimizer.arguments.nope=1"],
            "optimizer.arguments.nope=1: Adam has no such argument; it has lr, betas, ",
        ),
        (
            ["optimizer=adam", "optimizer.arguments.lr=-1"],
            "optimizer.arguments={lr:-1}: Adam refuses them: Invalid learning rate: -1",
        ),
    ],
)
def test_what_only_torch_can_refuse_is_refused_before_any_data_are_loaded(
    kfac_run, tmp_path, monkeypatch, words, line
):
    monkeypatch.setitem(DATASETS, CurvesOptions, None)
    answer = kfac_run(f"data_dir={tmp_path}", *words)
    assert answer.code == 1
    assert answer.err.splitlines()[-1].startswith(f"kfac-run: error: {line}")
    assert "Traceback" not in answer.err


def started(folder, *arguments):
    """Start a run in a separate process and wait until it has done some iterations."""
    code = "import sys; from kfac_cli.__main__ import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        # Background jobs ignore SIGINT, which is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        for table in folder.glob("**/metrics.csv"):
            with contextlib.suppress(OSError):
                if len(table.read_text().splitlines()) > 3:
                    return process, table.parent
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"no iterations: {process.communicate()}")


@pytest.mark.parametrize("sweep", [[], ["-m"]])
def test_ctrl_c_saves_what_was_done_and_exits_130(tmp_path, sweep):
    seeds = "seed=0,1,2" if sweep else "seed=0"
    process, folder = started(
        tmp_path, *sweep, "experiment=smoke", "iterations=100000", f"data_dir={tmp_path}", seeds
    )
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert (folder / "parameters.pt").exists()
    assert "interrupted" in out
    assert len(list(tmp_path.glob("**/summary.json"))) == 1
    rows = read_table(folder / "metrics.csv")
    assert [row["iteration"] for row in rows] == list(range(1, len(rows) + 1))


def test_the_stub_and_the_runner_agree_on_what_a_run_returns(tmp_path):
    from kfac_cli.run.runner import RunResult

    fields = set(RunResult.__dataclass_fields__)
    assert {"status", "best_train_error", "signal"} <= fields
    assert RunConfig.__dataclass_params__.frozen


def test_a_current_folder_that_hydra_would_take_for_a_reference_is_refused(
    kfac_run, runner, tmp_path, monkeypatch
):
    odd = tmp_path / "a${b}"
    odd.mkdir()
    monkeypatch.chdir(odd)
    answer = kfac_run("experiment=smoke")
    assert answer.code == 1
    assert answer.err == (
        "kfac-run: error: the current folder: has ${ in its path, which Hydra replaces by a "
        "setting; rename it or go elsewhere\n"
    )
    assert list(odd.iterdir()) == []
