"""The runs of a study: done, skipped, resumed, stopped."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from soak.experiment import overrides, write_cases
from tidy import tidied

from kfac_cli.checkpoint.folder import checkpoint_iterations
from kfac_cli.config.completion import make_paths_absolute
from kfac_cli.config.compose import composed
from kfac_cli.config.settings_file import CONFIG_FILE, write_settings
from kfac_cli.errors import UserError
from kfac_cli.paper import runs
from kfac_cli.paper.runs import QUIET, PlannedRun, complete_runs
from kfac_cli.recording.csv_table import read_table
from kfac_cli.signals import Interrupted, InterruptOnSignal
from tests.report.folders import write_run


@pytest.fixture(autouse=True)
def _tidy():
    with tidied():
        yield


@pytest.fixture
def planned(tmp_path):
    """Makes a run of a few iterations."""
    write_cases(tmp_path / "cases.npz")

    def make(name, *words, iterations=4):
        settings = overrides(tmp_path / "cases.npz", "nesterov_sgd", iterations)
        return PlannedRun(name, (*settings, *QUIET, *words))

    return make


@pytest.fixture
def said():
    return []


@pytest.fixture
def pretended(monkeypatch, tmp_path):
    """Has runs copy a folder with made-up results, and exit with a code, in place of training."""

    def pretend(code=0, **results):
        made = write_run(tmp_path / f"made-{code}", **results)
        (tmp_path / "pretend.py").write_text(
            "import shutil, sys\n"
            "folder = sys.argv[-1].removeprefix('hydra.run.dir=').strip(chr(39))\n"
            f"shutil.copytree({str(made)!r}, folder)\n"
            f"sys.exit({code})\n"
        )
        monkeypatch.setattr(runs, "COMMAND", (sys.executable, str(tmp_path / "pretend.py")))

    return pretend


def test_runs_beside_each_other_are_read_in_their_order(planned, said, pretended, tmp_path):
    pretended()
    three = [planned("b"), planned("a"), planned("c")]
    done = complete_runs(three, tmp_path / "study", said.append, jobs=2)
    assert [run.folder.name for run in done] == ["b", "a", "c"]
    assert said[:2] == ["[1/3] b: started", "[2/3] a: started"]
    assert "[3/3] c: finished after 100 iterations in 15.0 s, error 3.000" in said


def test_a_run_that_diverges_is_a_result(planned, said, pretended, tmp_path):
    pretended(code=1, status="diverged", errors=[30.0, 40.0])
    [run] = complete_runs([planned("wild")], tmp_path / "study", said.append)
    assert run.status == "diverged"
    assert said[-1].startswith("[1/1] wild: diverged after 50 iterations")


def test_a_run_that_fails_is_an_error_with_its_reason(planned, said, monkeypatch, tmp_path):
    fails = "import sys; sys.exit('a warning\\nkfac-run: error: the disk is full')"
    monkeypatch.setattr(runs, "COMMAND", (sys.executable, "-c", fails))
    with pytest.raises(UserError, match=r"^\[1/1\] bad: the disk is full$"):
        complete_runs([planned("bad")], tmp_path / "study", said.append)


def test_wrong_settings_are_refused_before_any_run_starts(planned, said, tmp_path):
    with pytest.raises(UserError, match=r"^iteration=5: no such setting; did you mean iterations"):
        complete_runs(
            [planned("good"), planned("bad", "iteration=5")], tmp_path / "study", said.append
        )
    assert not (tmp_path / "study").exists()


def test_an_interrupted_run_stops_saves_is_resumed_and_then_done_once(planned, said, tmp_path):
    long = planned("long", "max_optimizer_seconds=1000", iterations=1_000_000)
    folder = tmp_path / "study/runs/long"
    beginning = threading.Thread(target=_interrupt_once_it_runs, args=[folder])
    beginning.start()
    with pytest.raises(Interrupted), InterruptOnSignal():
        complete_runs([long], tmp_path / "study", said.append)
    beginning.join()
    assert said == ["[1/1] long: started", "[1/1] long: stopping, after it has saved"]
    [saved] = checkpoint_iterations(folder)[:1]
    assert saved >= 1
    rows = read_table(folder / "metrics.csv")
    assert len(rows) == saved  # it finished its step and saved
    time.sleep(0.2)
    assert len(read_table(folder / "metrics.csv")) == saved  # and does not run any more
    words = runs._resuming(folder, 1000.0)
    assert words == [f"resume={folder}", "max_optimizer_seconds=1000.0"]

    limits = runs._Limits(1_000_000, rows[-1]["optimizer_seconds"] + 0.5)
    with pytest.MonkeyPatch.context() as patch:  # the rest of its seconds is short
        patch.setattr(runs, "_checked_limits", lambda run, folder: limits)
        [run] = complete_runs([long], tmp_path / "study", said.append)
        assert "[1/1] long: resumed" in said
        assert run.status == "time limit reached"
        assert run.iterations > saved
        assert re.search(r"time limit reached after .* iterations in .* s, error", said[-1])

        said.clear()
        [again] = complete_runs([long], tmp_path / "study", said.append)
        assert said == ["1 run of 1 already done"]
        assert again.metrics["objective"].tolist() == run.metrics["objective"].tolist()
    with pytest.raises(UserError, match="long: holds a run with seed=0, and the study needs 2"):
        other = planned("long", "max_optimizer_seconds=1000", "seed=2", iterations=1_000_000)
        complete_runs([other], tmp_path / "study", said.append)
    with pytest.raises(UserError, match=r"optimizer seconds, and the study needs 0\.01; give sec"):
        shorter = planned("long", "max_optimizer_seconds=0.01", iterations=1_000_000)
        complete_runs([shorter], tmp_path / "study", said.append)


@pytest.mark.parametrize("status", ["time limit reached", "target not reached"])
@pytest.mark.parametrize(("limit", "ended"), [(100, True), (101, False), (None, False)])
def test_a_run_that_its_time_limit_ended_continues_when_it_is_given_more(
    tmp_path, status, limit, ended
):
    folder = write_run(tmp_path / "a", status=status)
    (folder / "metrics.csv").write_text("iteration,optimizer_seconds\n1,50\n2,100.5\n")
    assert runs._has_ended(folder, runs._Limits(1_000_000, limit)) is ended


def test_a_run_that_missed_its_target_at_its_last_iteration_has_ended(tmp_path):
    folder = write_run(tmp_path / "a", status="target not reached")
    (folder / "metrics.csv").write_text("iteration,optimizer_seconds\n1,50\n2,100.5\n")
    assert runs._has_ended(folder, runs._Limits(100, 1000.0))
    assert not runs._has_ended(folder, runs._Limits(101, 1000.0))


def test_a_run_that_cannot_be_continued_is_not_taken_for_what_it_was(
    planned, said, monkeypatch, tmp_path
):
    """Its folder still says how it ended with fewer seconds."""
    run = planned("a", "max_optimizer_seconds=200", iterations=1_000_000)
    folder = tmp_path / "study/runs/a"
    write_run(folder, status="time limit reached")
    shutil.copy(write_settings_of(run, tmp_path), folder / "config.yaml")
    fails = "import sys; sys.exit('kfac-run: error: checkpoint-9 is damaged')"
    monkeypatch.setattr(runs, "COMMAND", (sys.executable, "-c", fails))
    with pytest.raises(UserError, match=r"^\[1/1\] a: checkpoint-9 is damaged$"):
        complete_runs([run], tmp_path / "study", said.append)


def write_settings_of(run, folder):
    """The path of the settings of a run in a file."""
    settings = composed(run.words)
    make_paths_absolute(settings)
    write_settings(settings, folder)
    return folder / CONFIG_FILE


def _interrupt_once_it_runs(folder):
    deadline = time.monotonic() + 60
    while not (folder / "metrics.csv").exists() or len(read_table(folder / "metrics.csv")) < 2:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)


def test_of_two_values_for_a_setting_the_last_counts():
    run = PlannedRun("x", ("iterations=5", "seed=1", "iterations=7"))
    assert run.words == ["seed=1", "iterations=7"]


def test_the_module_starts_as_a_command():
    answer = subprocess.run(
        [sys.executable, "-m", "kfac_cli.paper", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.stdout.startswith("kfac-paper ")
