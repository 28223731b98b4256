"""The folder of a new run: empty, so that nothing in it can be lost."""

import json
import os

import pytest

from kfac_cli.errors import UserError


def contents(folder):
    """Every file below a folder with its bytes, every folder with None."""
    return {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


ENDED = {"iterations": 0, "best_train_error": None}
REFUSED = "is not empty and holds no run of kfac-run (it has {}); choose a new or an empty folder"


OTHERS = [
    "notes.txt",
    "metrics.csv",
    "parameters.pt",
    "run.png",
    "error.log",
    ".hidden",
    "0/config.yaml",
]


@pytest.mark.parametrize(
    ("name", "options"),
    [*((name, []) for name in OTHERS), ("metrics.csv", ["hydra.verbose=true"])],
)
def test_a_folder_with_other_files_is_refused_and_stays_as_it_is(
    kfac_run, runner, tmp_path, name, options
):
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    before = contents(tmp_path)
    answer = kfac_run("hydra.run.dir=mine", *options)
    assert answer.code == 1
    line = f"kfac-run: error: mine: {REFUSED.format(name.partition('/')[0])}"
    assert answer.err.splitlines()[-1] == line
    assert contents(tmp_path) == before
    assert runner.calls == []


@pytest.mark.parametrize(
    ("names", "summary"),
    [
        (["config.yaml"], None),
        (["config.yaml", "error.log"], None),
        (["config.yaml", "run.log"], {"status": "failed", "iterations": 400}),
        (["config.yaml", "run.log"], {"status": "finished", "iterations": 0}),
    ],
)
def test_settings_without_a_log_and_results_of_a_failed_run_are_not_replaced(
    kfac_run, runner, tmp_path, names, summary
):
    (tmp_path / "mine").mkdir()
    for name in names:
        (tmp_path / "mine" / name).write_text("precious: 1\n")
    if summary is not None:
        text = json.dumps({"best_train_error": None, **summary})
        (tmp_path / "mine/summary.json").write_text(text)
    before = contents(tmp_path)
    assert "mine: holds another run; choose a new folder" in kfac_run("hydra.run.dir=mine").err
    assert contents(tmp_path) == before
    assert runner.calls == []


def test_a_run_that_lost_its_settings_is_not_overwritten(kfac_run, runner, tmp_path):
    kfac_run("hydra.run.dir=mine")
    (tmp_path / "mine/config.yaml").unlink()
    (tmp_path / "mine/metrics.csv").write_text("iteration\n1\n")
    before = contents(tmp_path)
    assert REFUSED.format("metrics.csv") in kfac_run("hydra.run.dir=mine").err
    assert contents(tmp_path) == before


def test_the_current_folder_is_refused_too(kfac_run, runner, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    assert REFUSED.format("thesis.tex") in kfac_run("hydra.run.dir=.").err
    assert contents(tmp_path) == {tmp_path / "thesis.tex": b"precious"}


def test_a_hard_linked_log_in_a_folder_is_not_written_to(kfac_run, runner, tmp_path):
    (tmp_path / "victim").write_text("precious\n")
    (tmp_path / "mine").mkdir()
    os.link(tmp_path / "victim", tmp_path / "mine/run.log")

    def behave(config):
        import logging

        logging.getLogger("kfac_cli").info("a line")
        return "finished"

    runner.behave = behave
    assert kfac_run("hydra.run.dir=mine").code == 0
    assert (tmp_path / "victim").read_text() == "precious\n"
    assert "a line" in (tmp_path / "mine/run.log").read_text()


def test_an_empty_folder_is_used(kfac_run, runner, tmp_path):
    (tmp_path / "mine").mkdir()
    assert kfac_run("hydra.run.dir=mine").code == 0


def test_a_folder_where_a_start_failed_is_used_again(kfac_run, runner, tmp_path):
    """The value depends on the folder, so that it is refused only after Hydra made the folder."""
    wrong = ["hydra.run.dir=mine", "max_seconds=${hydra:runtime.output_dir}"]
    assert kfac_run(*wrong).code == 1
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {"run.log", "error.log"}
    (tmp_path / "mine/config.yaml.kfac-run.tmp").write_text("killed while writing")
    assert kfac_run("hydra.run.dir=mine").code == 0
    assert len(runner.calls) == 1


def interrupt(config):
    raise KeyboardInterrupt


def fail(config):
    raise UserError("cases.npz: no such file")


@pytest.mark.parametrize(("behave", "code"), [(interrupt, 130), (fail, 1)])
def test_a_folder_whose_run_never_began_to_train_is_used_again(
    kfac_run, runner, tmp_path, behave, code
):
    runner.behave = behave
    assert kfac_run("hydra.run.dir=mine", "seed=1").code == code
    left = {path.name for path in (tmp_path / "mine").iterdir()}
    failed = {"error.log", "summary.json"} if behave is fail else set()
    assert left == {"config.yaml", "run.log"} | failed
    runner.behave = interrupt
    assert kfac_run("hydra.run.dir=mine", "seed=2").code == 130
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {"config.yaml", "run.log"}
    assert "seed: 2\n" in (tmp_path / "mine/config.yaml").read_text()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("checkpoint-3.safetensors", ""),
        ("metrics.csv", "iteration\n"),
        ("evaluations.csv", "iteration\n"),
        ("parameters.pt", ""),
        ("notes.txt", "precious"),
        ("tensorboard/events", ""),
        ("summary.json", json.dumps(ENDED | {"status": "finished"})),
        ("summary.json", json.dumps(ENDED | {"status": "interrupted"})),
        ("summary.json", "damaged"),
    ],
)
def test_a_folder_with_a_run_and_anything_worth_keeping_is_refused(
    kfac_run, runner, tmp_path, name, text
):
    runner.behave = fail
    assert kfac_run("hydra.run.dir=mine").code == 1
    path = tmp_path / "mine" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    before = contents(tmp_path)
    answer = kfac_run("hydra.run.dir=mine")
    assert answer.err == "kfac-run: error: mine: holds another run; choose a new folder\n"
    assert contents(tmp_path) == before


@pytest.mark.filterwarnings("ignore:.*more.log:pytest.PytestUnraisableExceptionWarning")
def test_logs_that_hydra_is_told_to_write_there_do_not_count(kfac_run, runner):
    more = (
        "+hydra.job_logging.handlers.more={class:logging.FileHandler,"
        "filename:'${hydra.runtime.output_dir}/more.log',delay:false}"
    )
    assert kfac_run("hydra.run.dir=mine", more).code == 0


@pytest.mark.parametrize("subdir", ["${hydra.job.num}", "seed${seed}"])
def test_a_job_of_a_sweep_is_not_put_over_other_files(kfac_run, runner, tmp_path, subdir):
    """The others run: only the job whose folder it is fails."""
    name = subdir.replace("${hydra.job.num}", "1").replace("${seed}", "1")
    path = tmp_path / "sweep" / name / "notes.txt"
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    answer = kfac_run("-m", "hydra.sweep.dir=sweep", f"hydra.sweep.subdir={subdir}", "seed=0,1,2")
    assert answer.code == 1
    assert f"job 1 (seed=1): sweep/{name}: {REFUSED.format('notes.txt')}" in answer.err
    assert contents(path.parent) == {path: b"precious"}
    assert len(runner.calls) == 2


def test_a_run_is_not_put_into_the_folder_of_a_sweep(kfac_run, runner, tmp_path):
    kfac_run("-m", "hydra.sweep.dir=sweep", "seed=0,1")
    before = contents(tmp_path)
    assert REFUSED.format("0_seed=0") in kfac_run("hydra.run.dir=sweep").err
    assert contents(tmp_path) == before


def test_one_job_may_use_the_folder_of_its_sweep(kfac_run, runner):
    words = ["-m", "hydra.sweep.dir=sweep", "hydra.sweep.subdir=."]
    assert kfac_run(*words, "seed=3").code == 0


def test_a_folder_that_holds_a_run_is_not_given_to_another(kfac_run, runner, tmp_path):
    assert kfac_run("hydra.run.dir=mine", "seed=1").code == 0
    before = (tmp_path / "mine/config.yaml").read_text()
    answer = kfac_run("hydra.run.dir=mine", "seed=2")
    assert answer.code == 1
    assert answer.err == "kfac-run: error: mine: holds another run; choose a new folder\n"
    assert (tmp_path / "mine/config.yaml").read_text() == before
    assert len(runner.calls) == 1


def test_a_refused_run_leaves_the_folder_of_another_as_it_is(kfac_run, runner, tmp_path):
    kfac_run("hydra.run.dir=mine", "seed=1")
    before = contents(tmp_path)
    assert kfac_run("hydra.run.dir=mine", "seed=2").code == 1
    assert contents(tmp_path) == before


def test_a_start_after_a_failed_one_leaves_no_error_log(kfac_run, runner, tmp_path):
    assert kfac_run("hydra.run.dir=mine", "seed=${oc.env:NOT_SET_AT_ALL}").code == 1
    assert (tmp_path / "mine/error.log").exists()
    assert kfac_run("hydra.run.dir=mine").code == 0
    assert not (tmp_path / "mine/error.log").exists()
