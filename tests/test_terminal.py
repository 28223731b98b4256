"""What the terminal does never changes a run's result, record or exit code."""

import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import time

import pytest
from soak.experiment import overrides, write_cases

from kfac_cli.terminal import TolerantFile, exit_code_of_text, tolerant_output

PROGRAM = [sys.executable, "-m", "kfac_cli"]
NEEDS_FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full device")


@pytest.fixture
def words(tmp_path):
    write_cases(tmp_path / "cases.npz")
    return [*overrides(tmp_path / "cases.npz"), "tensorboard=false", "iterations=4"]


def shell(line, folder, **environment):
    """A command line for bash, with the exit code of its first command."""
    return subprocess.run(
        ["bash", "-c", line + '; exit "${PIPESTATUS[0]}"'],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def finished(folder):
    """Whether a run finished, with its best error, and recorded no failure."""
    summary = json.loads((folder / "summary.json").read_text())
    record = summary["status"], summary["best_train_error"] is not None
    return (*record, (folder / "error.log").exists()) == ("finished", True, False)


OUTPUTS = [
    pytest.param(">/dev/full 2>/dev/full", id="a full disk", marks=NEEDS_FULL),
    pytest.param(">&- 2>&- <&-", id="all closed"),
]


@pytest.mark.parametrize("where", OUTPUTS)
def test_a_run_ends_as_planned_wherever_its_output_goes(tmp_path, words, where):
    line = f"{shlex.join([*PROGRAM, *words, 'hydra.run.dir=run'])} {where}"
    ended = shell(line, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert finished(tmp_path / "run")


def test_no_job_of_a_sweep_fails_because_of_its_output(tmp_path, words):
    line = shlex.join([*PROGRAM, "-m", *words, "seed=1,2", "hydra.sweep.dir=sweep"])
    assert shell(f"{line} 2>&1 | head -n 1", tmp_path).returncode == 0
    jobs = ("0_seed=1", "1_seed=2")
    assert [finished(tmp_path / "sweep" / job) for job in jobs] == [True, True]


def test_a_letter_that_the_terminal_does_not_have_is_written_as_its_escape(tmp_path, words):
    line = shlex.join([*PROGRAM, *words, "hydra.run.dir='λ'"])
    ended = shell(line, tmp_path, LC_ALL="C", PYTHONIOENCODING="ascii")
    assert (ended.returncode, "  \\u03bb\n" in ended.stdout) == (0, True)
    assert finished(tmp_path / "λ")


@pytest.mark.parametrize("option", ["--help", "--version", "--cfg job"])
def test_a_command_that_only_prints_fails_if_the_text_is_lost(tmp_path, option):
    line = f"{shlex.join(PROGRAM)} {option}"
    assert shell(f"{line} | head -n 1", tmp_path).returncode == 0
    if os.path.exists("/dev/full"):
        lost = shell(f"{line} >/dev/full", tmp_path)
        reason = "kfac-run: error: standard output: No space left on device\n"
        assert (lost.returncode, lost.stderr) == (1, reason)


def wait_for_rows(process, table):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if table.exists() and len(table.read_text().splitlines()) > 3:
            return
        time.sleep(0.05)


def test_interrupted_together_with_its_reader_the_exit_code_is_that_of_the_signal(tmp_path, words):
    """Ctrl-C under `| tee log` goes to both, and tee ends first."""
    process = subprocess.Popen(
        [*PROGRAM, *words, "iterations=1000000", "hydra.run.dir=run"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    wait_for_rows(process, tmp_path / "run/metrics.csv")
    process.stdout.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert not (tmp_path / "run/error.log").exists()


def test_a_terminal_that_closes_does_not_end_a_run(tmp_path, words):
    """As long as it is not the run's controlling terminal, whose end is SIGHUP."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *words, "iterations=60", "hydra.run.dir=run"],
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm"},
        start_new_session=True,
    )
    os.close(theirs)
    wait_for_rows(process, tmp_path / "run/metrics.csv")
    os.close(ours)
    assert process.wait(timeout=120) == 0
    assert finished(tmp_path / "run")


def test_a_pipe_that_does_not_block_loses_nothing():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    program = "import sys, time; time.sleep(0.5); print(len(sys.stdin.buffer.read()))"
    reader = subprocess.Popen(
        [sys.executable, "-c", program], stdin=reading, stdout=subprocess.PIPE
    )
    os.close(reading)
    with TolerantFile(writing, "wb") as file:
        assert file.write(bytes(1_000_000)) == 1_000_000
        assert file.lost is None
    assert reader.communicate(timeout=60)[0] == b"1000000\n"


def test_output_that_is_no_file_stays_and_tolerant_output_is_not_wrapped_again(capsys):
    before = sys.stdout
    with tolerant_output():
        assert sys.stdout is before
        print("captured")
        assert exit_code_of_text() == 0
    assert capsys.readouterr().out == "captured\n"


def test_tolerant_output_is_restored(tmp_path, monkeypatch):
    with (tmp_path / "out").open("w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        with tolerant_output():
            tolerant = sys.stdout
            assert isinstance(tolerant.buffer, TolerantFile)
            with tolerant_output():
                assert sys.stdout is tolerant
                print("λ")
        assert sys.stdout is file
    assert (tmp_path / "out").read_text(encoding=file.encoding) == "λ\n"
