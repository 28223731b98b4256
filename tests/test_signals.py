"""Signals that come before a run has begun: while Python still imports the program."""

import contextlib
import signal
import subprocess
import sys

import pytest

from kfac_cli.signals import Interrupted, InterruptOnSignal, check_interrupted

AT_AN_IMPORT = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            {what}

def send():
    os.kill(os.getpid(), signal.{name})

def swallowed():
    try:
        send()
    except KeyboardInterrupt:
        pass

def turned_into_another_error():
    try:
        send()
    except KeyboardInterrupt as error:
        raise ImportError("half an import") from error

sys.meta_path.insert(0, Finder())
sys.argv = ["kfac-run", "experiment=smoke", "iterations=1"]
from kfac_cli.__main__ import main
sys.exit(main())
"""


def interrupted_at(module, what, name, folder):
    """The command, with a signal that comes as it imports a module."""
    return subprocess.run(
        [sys.executable, "-c", AT_AN_IMPORT.format(module=module, what=what, name=name)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


def said(ended):
    """What is on stderr, but for the title of a run that was about to begin."""
    return ended.stderr.removeprefix("curves, kfac_tridiag: 1 iterations\n").rstrip()


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("module", ["hydra", "omegaconf", "torch"])
def test_the_command_ends_in_one_line_whatever_it_is_importing(tmp_path, module, name, code):
    ended = interrupted_at(module, "send()", name, tmp_path)
    assert (ended.returncode, said(ended)) == (code, "kfac-run: interrupted")


@pytest.mark.parametrize("what", ["swallowed()", "turned_into_another_error()"])
@pytest.mark.parametrize("module", ["hydra", "torch"])
def test_a_signal_that_an_import_keeps_to_itself_is_not_lost(tmp_path, module, what):
    ended = interrupted_at(module, what, "SIGINT", tmp_path)
    assert (ended.returncode, said(ended)) == (130, "kfac-run: interrupted")
    assert not list(tmp_path.rglob("summary.json"))


@pytest.mark.parametrize("error", [None, AttributeError("half a setting"), SystemExit(0)])
def test_nothing_else_is_said_when_an_interruption_ended_it(kfac_run, monkeypatch, error):
    """Composing settings too can swallow an interruption, or turn it into an error of its own."""

    def interrupted(overrides):
        with contextlib.suppress(Interrupted):
            signal.raise_signal(signal.SIGTERM)
        if error is not None:
            raise error

    monkeypatch.setattr("kfac_cli.commands.main.check_sweep", interrupted)
    answer = kfac_run("--cfg", "job")
    assert (answer.code, answer.err) == (143, "kfac-run: interrupted\n")


UNHEARD = """
import contextlib, signal
from kfac_cli.signals import Interrupted, InterruptOnSignal

signal.signal(signal.SIGINT, signal.SIG_IGN)
with InterruptOnSignal():
    with contextlib.suppress(Interrupted):
        signal.raise_signal(signal.SIGINT)
        print("the first one was not heard")
    signal.raise_signal(signal.SIGTERM)
    print("the second one was not heard")
"""


def test_a_second_signal_ends_the_process_at_once():
    """The first is heard although a shell has SIGINT ignored in what it runs in the background."""
    command = [sys.executable, "-c", UNHEARD]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (143, "", "")


def test_the_package_can_be_run_by_its_name():
    command = [sys.executable, "-m", "kfac_cli", "--version"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.stdout.startswith("kfac-run ")


def test_a_signal_that_was_lost_is_found_later():
    with InterruptOnSignal() as unwinding:
        with contextlib.suppress(Interrupted):  # as what calls back into Python may do
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted) as found:
            check_interrupted()
    assert found.value.signal == unwinding.signal == signal.SIGTERM
    check_interrupted()  # outside, nothing is asked to end
