"""Processes that work on one study, and are killed."""

import os
import signal
import subprocess
import sys

import pytest
from optuna.trial import TrialState
from soak.compare import differences, metrics

from kfac_cli.tune.locks import Lock
from kfac_cli.tune.options import TuneOptions
from kfac_cli.tune.plan import start_or_join
from kfac_cli.tune.study import SharedStudy
from kfac_cli.tune.trial import STARTS

from .conftest import trials

CHILD = """
import os, signal, sys, time
from pathlib import Path
from kfac_cli.run.session import Session
from kfac_cli.tune.__main__ import main

step, steps = Session.step, []

def acting(self):
    steps.append(1)
    {action}
    return step(self)

Session.step = acting
sys.exit(main())
"""

KILL = "len(steps) == 14 and os.kill(os.getpid(), signal.SIGKILL)"

MEET = """
    deadline = time.monotonic() + 300
    while not Path("study/trials/1").exists():  # until both have a trial
        assert time.monotonic() < deadline
        time.sleep(0.01)
"""


@pytest.fixture
def worker(tmp_path):
    """Starts a process of kfac-tune that does something in each step."""
    started = []

    def start(action, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD.format(action=action), *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_killed_process_leaves_its_trial_to_the_next_which_resumes_it(
    kfac_tune, words, tmp_path, worker
):
    arguments = [*words, "trials=3", "pruner=none"]
    killed = worker(KILL, *arguments, "output=study")
    killed.communicate(timeout=300)
    assert killed.returncode == -signal.SIGKILL
    study, whole = tmp_path / "study", tmp_path / "whole"
    assert [t.state for t in trials(study)] == [TrialState.COMPLETE, TrialState.RUNNING]
    assert len(metrics(study / "trials/1")) == 5
    assert kfac_tune("output=study").code == 0
    assert kfac_tune(*arguments, "output=whole").code == 0
    assert [(t.params, t.value) for t in trials(study)] == [
        (t.params, t.value) for t in trials(whole)
    ]
    assert trials(study)[1].user_attrs[STARTS] == [0, 4]  # checkpoint.every=2
    for number in range(3):
        assert differences(study / f"trials/{number}", whole / f"trials/{number}") == []


def test_a_trial_that_ended_after_it_was_listed_is_not_claimed(words, tmp_path, monkeypatch):
    """Its process tells how it ended, and releases it, without the lock on the study."""
    monkeypatch.chdir(tmp_path)
    study = SharedStudy(start_or_join(tmp_path / "study", words, TuneOptions(trials=1), {}))
    claim, listed = study.claim(), study.trials((TrialState.RUNNING,))
    study.tell(claim, TrialState.COMPLETE, 1.0)
    monkeypatch.setattr(
        study, "trials", lambda states=None: listed if states else study.optuna.get_trials()
    )
    assert study.claim() is None
    lock = Lock(claim.folder)
    assert lock.try_acquire()
    lock.release()


def test_two_processes_share_a_study_and_run_each_trial_once(words, tmp_path, worker):
    arguments = [*words, "trials=6", "pruner=none", "sampler=qmc", "output=study"]
    workers = [worker(MEET.strip(), *arguments) for _ in range(2)]
    answers = [process.communicate(timeout=300) for process in workers]
    assert [
        (process.returncode, err) for process, (_, err) in zip(workers, answers, strict=True)
    ] == [
        (0, ""),
        (0, ""),
    ]
    found = trials(tmp_path / "study")
    assert [t.state for t in found] == [TrialState.COMPLETE] * 6
    assert [t.user_attrs[STARTS] for t in found] == [[0]] * 6
    assert len({t.params["optimizer.learning_rate"] for t in found}) == 6
    told = [
        sorted(int(line.split()[1]) for line in out.splitlines() if line.startswith("trial "))
        for out, _ in answers
    ]
    assert all(told)
    assert sorted(told[0] + told[1]) == list(range(6))
