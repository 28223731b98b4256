"""Signals that come before a run starts, while Python still imports the program."""

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
    """The command, with a signal during the import of a module."""
    return subprocess.run(
        [sys.executable, "-c", AT_AN_IMPORT.format(module=module, what=what, name=name)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


def error_output(ended):
    """The text on stderr, except for the title of the run."""
    return ended.stderr.removeprefix("curves, kfac_tridiag: 1 iterations\n").rstrip()


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("module", ["hydra", "omegaconf", "torch"])
def test_during_any_import_the_command_ends_with_one_line(tmp_path, module, name, code):
    ended = interrupted_at(module, "send()", name, tmp_path)
    assert (ended.returncode, error_output(ended)) == (code, "kfac-run: interrupted")


@pytest.mark.parametrize(
    ("module", "what"),
    [
        ("hydra", "swallowed()"),
        ("hydra", "turned_into_another_error()"),
        ("torch", "turned_into_another_error()"),
    ],
)
def test_a_signal_that_an_import_swallows_is_not_lost(tmp_path, module, what):
    ended = interrupted_at(module, what, "SIGINT", tmp_path)
    assert (ended.returncode, error_output(ended)) == (130, "kfac-run: interrupted")
    assert not list(tmp_path.rglob("summary.json"))


@pytest.mark.parametrize("error", [None, AttributeError("half a setting"), SystemExit(0)])
def test_an_interruption_is_the_only_message(kfac_run, monkeypatch, error):
    """Composing settings, too, can swallow an interruption, or raise another error instead."""

    def interrupted(overrides):
        with contextlib.suppress(Interrupted):
            signal.raise_signal(signal.SIGTERM)
        if error is not None:
            raise error

    monkeypatch.setattr("kfac_cli.commands.main.check_sweep", interrupted)
    answer = kfac_run("--cfg", "job")
    assert (answer.code, answer.err) == (143, "kfac-run: interrupted\n")


TWO_SIGNALS = """
import contextlib, signal
from kfac_cli.signals import Interrupted, InterruptOnSignal

signal.signal(signal.SIGINT, signal.SIG_IGN)
with InterruptOnSignal():
    with contextlib.suppress(Interrupted):
        signal.raise_signal(signal.SIGINT)
        print("the first signal was ignored")
    signal.raise_signal(signal.SIGTERM)
    print("the second signal was ignored")
"""


def test_a_second_signal_ends_the_process_at_once():
    """The first is handled although shells make background jobs ignore SIGINT."""
    command = [sys.executable, "-c", TWO_SIGNALS]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (143, "", "")


def test_the_package_can_be_run_by_its_name():
    command = [sys.executable, "-m", "kfac_cli", "--version"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.stdout.startswith("kfac-run ")


def test_a_signal_that_was_lost_is_found_later():
    with InterruptOnSignal() as unwinding:
        with contextlib.suppress(Interrupted):  # as callbacks may do
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted) as found:
            check_interrupted()
    assert found.value.signal == unwinding.signal == signal.SIGTERM
    check_interrupted()  # outside, nothing is interrupted
