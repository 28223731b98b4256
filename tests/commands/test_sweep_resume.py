"""Sweeps that were interrupted or lost jobs, and -m resume=, which runs what is missing."""

import json
import os
import shutil
import signal
import sys

import pytest
import yaml
from soak.compare import differences
from soak.experiment import overrides, write_cases
from tidy import tidied

from kfac_cli.__main__ import main
from kfac_cli.commands.sweep_resume import SavedSweep, check_unchanged
from kfac_cli.errors import UserError
from kfac_cli.files import exclusive_use
from kfac_cli.run.session import Session

GRID = [*overrides("cases.npz", iterations=6), "tensorboard=false", "seed=1,2,3"]
JOBS = ["0_seed=1", "1_seed=2", "2_seed=3"]


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """The folder of a complete sweep over three seeds, started with a relative path."""
    base = tmp_path_factory.mktemp("started")
    write_cases(base / "cases.npz")
    with pytest.MonkeyPatch.context() as patch, tidied():
        patch.chdir(base)
        patch.setattr(sys, "argv", ["kfac-run", "-m", *GRID, "hydra.sweep.dir=complete"])
        assert main() == 0
    return base / "complete"


@pytest.fixture
def sweep(complete, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(complete, tmp_path / "sweep")


def status(folder):
    return json.loads((folder / "summary.json").read_text())["status"]


def same_results(sweep, complete):
    return all(differences(sweep / job, complete / job) == [] for job in JOBS)


@pytest.fixture
def steps(monkeypatch):
    """The iterations that are done, of all jobs in order."""
    done = []
    step = Session.step

    def counting(self):
        done.append(self.iteration + 1)
        return step(self)

    monkeypatch.setattr(Session, "step", counting)
    return done


def test_what_an_interrupted_sweep_lacks_is_run_and_nothing_else(
    kfac_run, complete, tmp_path, monkeypatch
):
    write_cases(tmp_path / "cases.npz")
    step, calls = Session.step, []

    def interrupted(self):
        calls.append(self.iteration)
        if len(calls) == 6 + 4 and not (tmp_path / f"sweep/{JOBS[1]}/summary.json").exists():
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self)

    monkeypatch.setattr(Session, "step", interrupted)
    assert kfac_run("-m", *GRID, "hydra.sweep.dir=sweep").code == 143
    assert [status(tmp_path / "sweep" / job) for job in JOBS[:2]] == ["finished", "interrupted"]
    assert not (tmp_path / f"sweep/{JOBS[2]}").exists()
    calls.clear()
    answer = kfac_run("-m", "resume=sweep")
    assert answer.code == 0, answer.err
    assert "sweep/0_seed=1: finished, skipped" in answer.out
    assert calls == [*range(4, 6), *range(6)]
    assert same_results(tmp_path / "sweep", complete)


def test_a_sweep_of_an_earlier_version_keeps_its_numbered_folders(kfac_run, sweep, complete, steps):
    for number, job in enumerate(JOBS):
        (sweep / job).rename(sweep / str(number))
    (sweep / "1/summary.json").unlink()
    for checkpoint in (sweep / "1").glob("checkpoint*"):
        checkpoint.unlink()
    assert kfac_run("-m", "resume=sweep").code == 0
    assert steps == [*range(1, 7)]
    assert sorted(path.name for path in sweep.iterdir()) == ["0", "1", "2", "multirun.yaml"]
    assert all(differences(sweep / str(n), complete / job) == [] for n, job in enumerate(JOBS))


def test_a_finished_sweep_is_left_as_it_is(kfac_run, sweep, steps):
    before = {path: path.read_bytes() for path in sweep.glob("*/*.*")}
    answer = kfac_run("-m", "resume=sweep")
    assert (answer.code, steps) == (0, [])
    assert answer.out.count("finished, skipped") == 3
    assert {path: path.read_bytes() for path in sweep.glob("*/*.*")} == before


def test_a_job_that_failed_or_was_killed_without_a_checkpoint_starts_again(
    kfac_run, sweep, complete, steps
):
    for file in (sweep / JOBS[1]).iterdir():
        if file.name != "config.yaml":
            file.unlink()
    (sweep / JOBS[1] / "error.log").write_text("disk full")
    assert kfac_run("-m", "resume=sweep").code == 0
    assert steps == [*range(1, 7)]
    assert not (sweep / JOBS[1] / "error.log").exists()
    assert same_results(sweep, complete)


def test_a_diverged_job_is_not_repeated_and_still_counts_as_failed(kfac_run, sweep, steps):
    summary = json.loads((sweep / JOBS[2] / "summary.json").read_text())
    (sweep / JOBS[2] / "summary.json").write_text(json.dumps({**summary, "status": "diverged"}))
    answer = kfac_run("-m", "resume=sweep")
    assert (answer.code, steps) == (1, [])
    assert "job 2" in answer.err
    assert "the run diverged" in answer.err


def test_relative_paths_mean_what_they_meant_where_the_sweep_was_started(
    kfac_run, sweep, tmp_path, monkeypatch
):
    shutil.rmtree(sweep / JOBS[0])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    answer = kfac_run("-m", "resume=../sweep")
    assert answer.code == 0
    assert status(sweep / JOBS[0]) == "finished"
    # and what is printed is right where the command was typed, whatever the sweep's own folder
    assert f"{sweep / JOBS[1]}: finished, skipped" in answer.out
    assert "kfac-report ../sweep  compares them" in answer.out
    monkeypatch.chdir(tmp_path)
    assert f"\nsweep/{JOBS[1]}: finished, skipped" in kfac_run("-m", "resume=sweep").out


def test_the_grid_may_be_repeated_but_not_changed(kfac_run, sweep, steps):
    assert kfac_run("-m", "resume=sweep", *GRID).code == 0
    answer = kfac_run("-m", "resume=sweep", *GRID[:-1], "seed=1,2,3,4")
    assert answer.code == 1
    assert answer.err.startswith("kfac-run: error: seed=1,2,3,4: a resumed sweep keeps its grid")
    assert kfac_run("-m", "resume=sweep", "iterations=9").code == 1
    assert steps == []


@pytest.mark.parametrize("repeated", [[], GRID])
def test_data_that_have_moved_are_found_in_their_new_folder(kfac_run, sweep, tmp_path, repeated):
    """By a job that had not begun, and by one that had."""
    shutil.rmtree(sweep / JOBS[0])
    (sweep / JOBS[1] / "summary.json").unlink()
    (tmp_path / "new place").mkdir()
    answer = kfac_run("-m", "resume=sweep", *repeated, "data_dir='new place'")
    assert answer.code == 0, answer.err
    for job in JOBS[:2]:
        assert status(sweep / job) == "finished"
        settings = yaml.safe_load((sweep / job / "config.yaml").read_text())
        assert settings["data_dir"] == str(tmp_path / "new place")


def test_of_a_sweep_over_several_data_folders_none_can_have_moved(sweep):
    saved = SavedSweep(sweep, (*GRID, "data_dir=a,b"), (), sweep.parent)
    with pytest.raises(UserError, match="data_dir=c: a resumed sweep keeps its grid"):
        check_unchanged(saved, ["resume=sweep", "data_dir=c"])


def test_a_job_whose_settings_are_not_those_of_its_folder_is_refused(kfac_run, sweep, steps):
    record = sweep / "multirun.yaml"
    record.write_text(record.read_text().replace("seed=1,2,3", "seed=1,3,2"))
    answer = kfac_run("-m", "resume=sweep")
    assert (answer.code, steps) == (1, [])
    assert (
        "sweep/1_seed=2/config.yaml: seed=2, but the sweep has 3 there: its grid was changed"
        in (answer.err)
    )


def test_a_job_that_was_continued_by_itself_is_no_other_job(kfac_run, sweep, steps):
    """What a job may be resumed with does not make it another one."""
    assert kfac_run(f"resume=sweep/{JOBS[0]}", "iterations=7").code == 0
    (sweep / JOBS[1] / "summary.json").unlink()
    steps.clear()
    answer = kfac_run("-m", "resume=sweep")
    assert answer.code == 0, answer.err
    assert f"sweep/{JOBS[0]}: finished, skipped" in answer.out


def test_the_record_of_a_sweep_is_not_written_again(kfac_run, sweep):
    """A full disk or a kill meanwhile would leave none, and the sweep could not be resumed."""
    record = sweep / "multirun.yaml"
    record.write_text(record.read_text() + "# untouched\n")
    before = record.stat()
    assert kfac_run("-m", "resume=sweep").code == 0
    assert record.read_text().endswith("# untouched\n")
    assert record.stat().st_mtime_ns == before.st_mtime_ns


def test_a_folder_without_a_sweep_is_refused(kfac_run, sweep, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder, line in [
        (
            "sweep/0_seed=1",
            "resume=sweep/0_seed=1: has no multirun.yaml: it holds a single run; remove -m",
        ),
        ("empty", "resume=empty: has no multirun.yaml: -m resumes sweeps"),
        ("nope", "resume=nope: no such folder"),
    ]:
        answer = kfac_run("-m", f"resume={folder}")
        assert (answer.code, answer.err) == (1, f"kfac-run: error: {line}\n")
    assert "-m resumes a sweep" in kfac_run("resume=sweep").err


@pytest.mark.parametrize("contents", ["", "a: 1", "hydra: {overrides: {task: 3}}", "- 1", "{"])
def test_a_damaged_record_is_one_line(kfac_run, sweep, contents):
    (sweep / "multirun.yaml").write_text(contents)
    answer = kfac_run("-m", "resume=sweep")
    assert answer.code == 1
    assert answer.err.count("\n") == 1


def test_code_that_a_record_names_is_not_run(kfac_run, sweep):
    record = sweep / "multirun.yaml"
    word = "hydra.sweeper._target_=os.abort"
    text = record.read_text().replace("    hydra:\n", f"    hydra:\n    - {word}\n", 1)
    assert word in text
    record.write_text(text)
    answer = kfac_run("-m", "resume=sweep")
    assert answer.code == 1
    assert f"the sweep was started with {word}" in answer.err


def test_a_sweep_that_another_process_runs_is_refused(kfac_run, sweep):
    with exclusive_use(sweep, shared=True):
        answer = kfac_run("-m", "resume=sweep")
    assert (answer.code, answer.err) == (
        1,
        "kfac-run: error: sweep: is in use by another kfac-run process\n",
    )


def test_options_of_the_launcher_need_not_be_repeated(sweep):
    option = "hydra.launcher.additional_parameters.reservation=a"
    for added in (option, f"+{option}"):
        saved = SavedSweep(sweep, tuple(GRID), (added,), sweep.parent)
        check_unchanged(saved, ["resume=sweep"])
        check_unchanged(saved, ["resume=sweep", f"{added}bc"])
