"""Signals: the first ends a run after its step, the second at once, and nothing is lost."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from soak.compare import differences, metrics
from soak.experiment import overrides, write_cases

from kfac_cli.checkpoint.folder import checkpoint_iterations
from kfac_cli.data.options import ArraysOptions
from kfac_cli.data.registry import DATASETS
from kfac_cli.recording import summary_sink
from kfac_cli.recording.csv_table import read_table
from kfac_cli.run import checkpointing, recorder, runner
from kfac_cli.run.session import Session

CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
WARNINGS = [(signal.SIGUSR1, 138), (signal.SIGUSR2, 140), (signal.SIGXCPU, 152)]

JOBS = ["0_seed=1", "1_seed=2"]


@pytest.fixture
def words(tmp_path):
    write_cases(tmp_path / "cases.npz")
    return [*overrides(tmp_path / "cases.npz"), "tensorboard=false"]


@pytest.fixture(autouse=True)
def _interruptible():
    """Handle SIGINT, which shells disable in background jobs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send(number):
    os.kill(os.getpid(), number)


@pytest.fixture
def during_step(monkeypatch):
    """Arranges an action at the beginning of the step of an iteration."""
    step = Session.step

    def arrange(iteration, action):
        def acting(self):
            if self.iteration + 1 == iteration:
                action()
            return step(self)

        monkeypatch.setattr(Session, "step", acting)

    yield arrange
    monkeypatch.setattr(Session, "step", step)


def handlers():
    return [signal.getsignal(number) for number, _ in CODES + WARNINGS]


@pytest.mark.parametrize(("number", "code"), CODES + WARNINGS)
def test_a_signal_ends_a_run_after_its_step_with_everything_saved(
    begin, words, tmp_path, during_step, number, code
):
    before = handlers()
    during_step(6, lambda: send(number))
    answer = begin("run", words)
    assert answer.code == code
    assert answer.err.endswith("\nkfac-run: interrupted\n")
    assert "interrupted after 6 of 24 iterations" in answer.out
    assert answer.out.endswith("\n  kfac-run resume=run  continues from here\n")
    assert checkpoint_iterations(tmp_path / "run") == [6]
    assert len(read_table(tmp_path / "run/metrics.csv")) == 6
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert (summary["status"], summary["reason"]) == ("interrupted", number.name)
    assert f"\n  interrupted     {number.name}\n" in answer.out
    assert (tmp_path / "run/parameters.pt").exists()
    assert handlers() == before


@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_second_signal_ends_it_at_once_and_without_damage(
    begin, kfac_run, words, tmp_path, during_step, number, code
):
    def twice():
        send(number)
        send(number)
        raise AssertionError("the second signal was ignored")

    during_step(6, twice)
    answer = begin("run", [*words, "checkpoint.every=4"])
    assert answer.code == code
    assert "Traceback" not in answer.err
    assert not (tmp_path / "run/summary.json").exists()
    assert checkpoint_iterations(tmp_path / "run") == [4]
    during_step(None, None)
    assert kfac_run("resume=run").code == 0
    begin("whole", [*words, "checkpoint.every=4"])
    assert differences(tmp_path / "run", tmp_path / "whole") == []


@pytest.mark.parametrize("second", [signal.SIGUSR1, signal.SIGXCPU, signal.SIGTERM])
def test_after_a_warning_neither_another_nor_sigterm_interrupts_the_saving(
    begin, words, tmp_path, during_step, second
):
    """SIGXCPU comes every second; schedulers send SIGTERM some time after their warning."""

    def several():
        send(signal.SIGUSR1)
        send(second)
        send(signal.SIGXCPU)

    during_step(6, several)
    answer = begin("run", words)
    assert answer.code == 138
    assert json.loads((tmp_path / "run/summary.json").read_text())["reason"] == "SIGUSR1"
    assert checkpoint_iterations(tmp_path / "run") == [6]


def test_after_a_warning_the_second_sigterm_ends_the_run_at_once(
    begin, words, tmp_path, during_step
):
    def several():
        send(signal.SIGUSR1)
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        raise AssertionError("the second SIGTERM was ignored")

    during_step(6, several)
    assert begin("run", words).code == 143
    assert not (tmp_path / "run/summary.json").exists()


def test_a_second_signal_in_the_middle_of_a_checkpoint_leaves_the_one_before(
    begin, words, tmp_path, during_step, monkeypatch
):
    from kfac_cli.checkpoint import tree

    write = tree.write_tree

    def interrupted(file, contents):
        if contents["iteration"] == 6:
            file.write(b"half a checkpoint")
            send(signal.SIGTERM)
        write(file, contents)

    monkeypatch.setattr(tree, "write_tree", interrupted)
    during_step(6, lambda: send(signal.SIGTERM))
    assert begin("run", [*words, "checkpoint.every=4"]).code == 143
    assert [path.name for path in (tmp_path / "run").glob("checkpoint*")] == [
        "checkpoint-4.safetensors"
    ]


@pytest.mark.parametrize(("number", "code"), CODES[:2])
def test_a_signal_in_a_sweep_keeps_what_was_done_and_starts_no_further_job(
    begin, kfac_run, words, tmp_path, during_step, number, code
):
    jobs = []

    def in_the_second_job():
        jobs.append(1)
        if len(jobs) == 2:
            send(number)

    during_step(6, in_the_second_job)
    answer = kfac_run("-m", *words, "seed=1,2,3", "hydra.sweep.dir=sweep")
    assert answer.code == code
    assert sorted(path.name for path in (tmp_path / "sweep").glob("[0-9]*")) == JOBS
    statuses = [
        json.loads((tmp_path / f"sweep/{job}/summary.json").read_text())["status"] for job in JOBS
    ]
    assert statuses == ["finished", "interrupted"]
    assert kfac_run(f"resume=sweep/{JOBS[1]}").code == 0
    begin("whole", [*words, "seed=2"])
    assert differences(tmp_path / f"sweep/{JOBS[1]}", tmp_path / "whole") == []


@pytest.mark.parametrize(("number", "code"), [CODES[0], WARNINGS[0]])
def test_a_signal_before_the_first_step_ends_it_at_once_and_the_run_can_be_resumed(
    begin, kfac_run, words, tmp_path, monkeypatch, number, code
):
    with monkeypatch.context() as patch:
        patch.setitem(DATASETS, ArraysOptions, lambda source: send(number))
        answer = begin("run", words)
    assert (answer.code, answer.err.splitlines()[-1]) == (code, "kfac-run: interrupted")
    assert answer.out.endswith("\n  kfac-run resume=run  starts it again\n")
    assert kfac_run("resume=run").code == 0
    assert len(metrics(tmp_path / "run")) == 24


def test_a_signal_while_a_run_is_ending_lets_it_end_and_stops_the_sweep(
    kfac_run, words, tmp_path, monkeypatch
):
    write_summary = summary_sink.write_summary

    def interrupted(*arguments):
        send(signal.SIGTERM)
        return write_summary(*arguments)

    monkeypatch.setattr(summary_sink, "write_summary", interrupted)
    answer = kfac_run("-m", *words, "seed=1,2", "hydra.sweep.dir=sweep")
    assert answer.code == 143
    assert (
        json.loads((tmp_path / f"sweep/{JOBS[0]}/summary.json").read_text())["status"] == "finished"
    )
    assert not (tmp_path / f"sweep/{JOBS[1]}").exists()


def test_a_signal_during_an_evaluation_needs_no_further_step(begin, words, tmp_path, monkeypatch):
    evaluate = runner.evaluate_session

    def interrupted(*arguments):
        send(signal.SIGTERM)
        return evaluate(*arguments)

    monkeypatch.setattr(runner, "evaluate_session", interrupted)
    assert begin("run", words).code == 143
    assert checkpoint_iterations(tmp_path / "run") == [4]
    assert [row["iteration"] for row in read_table(tmp_path / "run/evaluations.csv")] == [4]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_that_the_parent_process_ignores_stays_ignored(begin, words, during_step, number):
    """As nohup ignores a closed terminal."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        during_step(6, lambda: send(number))
        assert begin("run", words).code == 0
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_an_interruption_writes_the_checkpoint_first(
    begin, words, tmp_path, during_step, monkeypatch
):
    """A scheduler may not wait until the figure is drawn."""
    order = []
    save, finish = checkpointing.Saver.save, recorder.Recorder.finish
    monkeypatch.setattr(
        checkpointing.Saver, "save", lambda self: order.append("save") or save(self)
    )
    monkeypatch.setattr(
        recorder.Recorder, "finish", lambda self, *how: order.append("finish") or finish(self, *how)
    )
    during_step(6, lambda: send(signal.SIGTERM))
    begin("run", words)
    assert order == ["save", "finish"]


RUN, SWEEP = ["hydra.run.dir=run"], ["-m", "seed=1,2", "hydra.sweep.dir=sweep"]


@pytest.mark.parametrize(
    ("number", "code", "arguments"),
    [(signal.SIGINT, 130, RUN), (signal.SIGUSR1, 138, SWEEP)],
)
def test_a_separate_process_ends_with_the_code_of_its_signal_and_a_checkpoint(
    tmp_path, words, number, code, arguments
):
    command = "import sys; from kfac_cli.__main__ import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", command, *arguments, *words, "iterations=1000000"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        # Background jobs ignore SIGINT, which is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    name = "run" if arguments == RUN else f"sweep/{JOBS[0]}"
    folder = tmp_path / name
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            if len((folder / "metrics.csv").read_text().splitlines()) > 3:
                break
        time.sleep(0.05)
    process.send_signal(number)
    while number == signal.SIGUSR1 and process.poll() is None:
        time.sleep(0.2)
        process.send_signal(number)  # as systems repeat warnings until the process has ended
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert f"kfac-run resume={name}  continues from here" in out
    assert ("kfac-run -m resume=sweep  does the jobs that are left" in out) == (arguments == SWEEP)
    assert json.loads((folder / "summary.json").read_text())["status"] == "interrupted"
    assert (folder / "parameters.pt").exists()
    rows = metrics(folder)
    assert [row["iteration"] for row in rows] == list(range(1, len(rows) + 1))
    assert checkpoint_iterations(folder) == [len(rows)]
    assert len(list(tmp_path.glob("**/config.yaml"))) == 1
