"""Any command line of kfac-run gives a run, output, or one clear line and exit code 1.

Tested on 60 generated command lines; KFAC_FUZZ=5000 tries that many new ones (make fuzz).
"""

import contextlib
import io
import itertools
import os
import re
import signal
import sys
from types import SimpleNamespace

import pytest
from command_lines import command_lines
from hypothesis import HealthCheck, given, settings
from tidy import tidied

from kfac_cli.commands import jobs, main
from kfac_cli.config.schema import RunConfig

EXAMPLES = int(os.environ.get("KFAC_FUZZ", "0"))
CPU_SECONDS = 60  # for one command line; the slowest take a second

fuzzing = settings(
    max_examples=EXAMPLES or 60,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Outcome(SimpleNamespace):
    """`code`, `out`, `err`, the `runs` that were started and the current `folder`."""


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Calls `kfac-run *arguments` in a new folder each time, with a stub for the runner."""
    runs, numbers = [], itertools.count()

    def run(config, folder, progress, **_):
        runs.append(config)
        (folder / "summary.json").write_text("{}")
        return SimpleNamespace(status="finished", best_train_error=1.5, signal=None, reason=None)

    monkeypatch.setitem(sys.modules, "kfac_cli.run.runner", SimpleNamespace(run=run))
    monkeypatch.setattr(jobs.Progress, "start", lambda self, title: None)
    monkeypatch.setenv("HOME", str(tmp_path))

    def kfac_run(arguments):
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["kfac-run", *arguments])
        runs.clear()
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), tidied(), _no_hang():
            try:
                code = main.main()
            except SystemExit as leaving:
                code = leaving.code
        return Outcome(
            code=code, out=out.getvalue(), err=err.getvalue(), runs=runs[:], folder=folder
        )

    return kfac_run


@contextlib.contextmanager
def _no_hang():
    """Fail after CPU_SECONDS of processor time, however busy the machine is."""

    def fail(number, frame):
        raise AssertionError(f"no answer after {CPU_SECONDS} s of computing")

    before = signal.signal(signal.SIGVTALRM, fail)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def assert_clear(outcome, arguments):
    """A run, output, or one line for each error."""
    assert "Traceback" not in outcome.out + outcome.err
    assert all(isinstance(config, RunConfig) for config in outcome.runs)
    # Only runs have a folder with a config.yaml.
    folders = list(outcome.folder.rglob("config.yaml"))
    assert len(folders) == len(outcome.runs)
    if outcome.code == 0:
        assert outcome.err == ""
        assert outcome.runs or outcome.out
        return
    assert outcome.code == 1, outcome
    lines = outcome.err.removesuffix("\n").split("\n")
    for line in lines:
        assert re.fullmatch(r"kfac-run: error: .{3,1100}", line), outcome.err
        assert line.isprintable(), outcome.err
    assert len(lines) == 1 or all(re.match("kfac-run: error: job ", line) for line in lines)


@fuzzing
@given(arguments=command_lines)
def test_any_command_line_gives_a_run_output_or_one_clear_line(call, arguments):
    assert_clear(call(arguments), arguments)
