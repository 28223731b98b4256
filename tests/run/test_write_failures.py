"""A full disk, a read-only or missing folder: one line, and nothing saved is lost."""

import errno
import os
import resource
import shutil
import signal

import pytest
from soak.compare import differences
from soak.experiment import overrides, write_cases
from soak.faults import Faults, disk_full, failing

from kfac_cli.checkpoint.folder import CheckpointFolder, checkpoint_iterations
from kfac_cli.files import TEMPORARY
from kfac_cli.recording import csv_table
from kfac_cli.recording.csv_table import read_table
from kfac_cli.run.session import Session


@pytest.fixture
def words(tmp_path):
    write_cases(tmp_path / "cases.npz")
    return [*overrides(tmp_path / "cases.npz"), "iterations=12", "checkpoint.every=3"]


@pytest.fixture
def at_iteration(monkeypatch):
    """Arranges an action after an iteration."""

    def arrange(iteration, action):
        step = Session.step

        def step_and_act(self):
            result = step(self)
            if self.iteration == iteration:
                action()
            return result

        monkeypatch.setattr(Session, "step", step_and_act)

    return arrange


def the_one_line(answer):
    assert answer.code == 1
    assert "Traceback" not in answer.err
    (line,) = [line for line in answer.err.splitlines() if line.startswith("kfac-run: error: ")]
    assert answer.err.endswith(f"{line}\n")
    return line.removeprefix("kfac-run: error: ")


def test_a_full_disk_is_one_line_at_any_moment_and_the_run_can_be_resumed(
    begin, kfac_run, words, tmp_path
):
    counted = Faults(tmp_path / "whole")
    assert begin("whole", words, counted).code == 0
    for moment in range(1, counted.count, counted.count // 12):
        folder = tmp_path / f"run{moment}"
        line = the_one_line(begin(folder.name, words, Faults(folder, moment, disk_full)))
        assert "No space left on device" in line
        if kept := checkpoint_iterations(folder):
            assert f"resume={folder.name} continues from iteration {kept[0]}" in line
            assert CheckpointFolder(folder).read()["iteration"] == kept[0]
        assert kfac_run(f"resume={folder.name}").code == 0
        assert differences(folder, tmp_path / "whole") == []


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_a_disk_that_is_full_from_the_start_is_one_line(kfac_run, words, tmp_path, moment):
    """While Hydra creates the folder, and before the settings are in it."""
    with Faults(tmp_path / "run", moment, disk_full).active():
        line = the_one_line(kfac_run(*words, "hydra.run.dir=run"))
    assert "No space left on device" in line
    assert not (tmp_path / "run/config.yaml").exists()
    assert kfac_run("resume=run").code == 1


@pytest.mark.parametrize("name", ["metrics.csv", "evaluations.csv"])
def test_a_real_device_without_room_is_one_line_that_names_the_file(
    begin, words, tmp_path, monkeypatch, name
):
    opened = csv_table.open_for_appending

    def without_room(path):
        return open("/dev/full", "a") if path.name == name else opened(path)

    monkeypatch.setattr(csv_table, "open_for_appending", without_room)
    line = the_one_line(begin("run", [*words, "checkpoint.every=null"]))
    assert line == f"{tmp_path}/run/{name}: No space left on device"


def test_a_limit_on_the_size_of_files_stops_checkpoints_and_keeps_the_old_ones(
    begin, words, tmp_path, at_iteration
):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    at_iteration(7, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1])))
    try:
        answer = begin("run", [*words, "tensorboard=false"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    line = the_one_line(answer)
    assert line == (
        f"{tmp_path}/run/checkpoint-9.safetensors: File too large; "
        "kfac-run resume=run continues from iteration 6"
    )
    assert sorted(path.name for path in (tmp_path / "run").glob("checkpoint*")) == [
        "checkpoint-3.safetensors",
        "checkpoint-6.safetensors",
    ]
    assert [row["iteration"] for row in read_table(tmp_path / "run/metrics.csv")] == [*range(1, 10)]


def test_a_folder_removed_during_the_run_is_one_line(begin, words, tmp_path, at_iteration):
    at_iteration(4, lambda: shutil.rmtree(tmp_path / "run"))
    line = the_one_line(begin("run", words))
    assert line == f"{tmp_path}/run/checkpoint-6.safetensors: No such file or directory"
    assert not (tmp_path / "run").exists()


def test_a_folder_removed_before_the_end_is_one_line(begin, words, tmp_path, at_iteration):
    at_iteration(12, lambda: shutil.rmtree(tmp_path / "run"))
    words += ["checkpoint.every=null"]
    line = the_one_line(begin("run", words))
    assert line == f"{tmp_path}/run/checkpoint-12.safetensors: No such file or directory"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EIO, errno.EDQUOT])
def test_resuming_where_nothing_can_be_written_is_one_line_and_changes_nothing(
    begin, kfac_run, words, tmp_path, number
):
    """Read-only folders do not stop the superuser, so the system's error is simulated."""
    begin("run", words)
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    with Faults(tmp_path / "run", 1, failing(number)).active():
        line = the_one_line(kfac_run("resume=run", "iterations=20"))
    assert os.strerror(number) in line
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.parametrize("name", ["parameters.pt", "summary.json"])
def test_a_result_that_cannot_be_written_is_named_and_written_after_resuming(
    begin, kfac_run, words, tmp_path, name
):
    folder = tmp_path / "run"
    line = the_one_line(
        begin("run", words, Faults(folder, 1, disk_full, lambda path: f"{name}{TEMPORARY}" in path))
    )
    assert line.startswith(
        f"{folder / name}: No space left on device; kfac-run resume=run continues"
    )
    assert not (folder / name).exists()
    assert kfac_run("resume=run").code == 0
    begin("whole", words)
    assert differences(folder, tmp_path / "whole") == []


def test_a_tensorboard_file_that_cannot_be_written_does_not_end_the_run(begin, words, tmp_path):
    folder = tmp_path / "run"
    answer = begin("run", words, Faults(folder, 4, disk_full, lambda path: "tfevents" in path))
    assert answer.code == 0
    assert "Traceback" not in answer.err
    assert answer.err.count("TensorBoard failed; continuing without it") == 1
    begin("whole", words)
    shutil.rmtree(folder / "tensorboard")
    shutil.rmtree(tmp_path / "whole/tensorboard")
    assert differences(folder, tmp_path / "whole") == []


def test_a_log_that_cannot_be_written_neither_ends_a_run_nor_prints_tracebacks(
    begin, words, tmp_path
):
    faults = Faults(tmp_path / "run", 2, disk_full, lambda path: "run.log" in path)
    answer = begin("run", [*words, "optimizer.lambda_initial=auto"], faults)
    assert answer.code == 0
    assert "Traceback" not in answer.err


def test_a_closed_terminal_does_not_end_the_run(begin, words, monkeypatch, tmp_path):
    from kfac_cli.recording.progress import Progress

    def gone(*arguments):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Progress, "iteration", gone)
    answer = begin("run", words)
    assert answer.code == 0
    assert "progress failed; continuing without it" in (tmp_path / "run/run.log").read_text()
