"""Fixtures: the command kfac-paper in this process, and a study that does nothing but count."""

import signal
import sys
from types import SimpleNamespace

import pytest
from tidy import tidied

from kfac_cli.paper import registry
from kfac_cli.paper.__main__ import main
from kfac_cli.paper.registry import Entry
from kfac_cli.paper.study import Finding, Verdict


class CountingStudy:
    """A study that remembers its jobs; `acts` is called with each."""

    name = "counting"
    figures = "figure 0"
    description = "counts its calls"

    def __init__(self):
        self.jobs = []
        self.acts = lambda job: (job.folder / "work").write_text("")

    def run(self, job):
        self.jobs.append(job)
        self.acts(job)
        return [
            Finding("it rains", "section 1", Verdict.CONFIRMED, {"drops": 3}, 1),
            Finding("it pours", "figure 2", Verdict.NOT_CONFIRMED, {"ratio": 1 / 3}, 2, "A note."),
            Finding("it snows", "section 3", Verdict.NOT_MEASURED, {}, 0, "Too warm."),
        ]


STUDY = CountingStudy()


@pytest.fixture
def counting(monkeypatch):
    """The counting study as the only one, with an option `flakes`."""
    study = CountingStudy()
    monkeypatch.setattr(sys.modules[__name__], "STUDY", study)
    entry = Entry(f"{__name__}:STUDY", "a minute", "an hour", ("flakes", "jobs"))
    monkeypatch.setattr(registry, "STUDIES", {"counting": entry})
    return study


@pytest.fixture
def kfac_paper(tmp_path, monkeypatch, capsys):
    """Calls `kfac-paper *arguments` in this process, with tmp_path as the current directory."""
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["kfac-paper", *arguments])
        code = main()
        captured = capsys.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    with tidied():
        yield call
    signal.signal(signal.SIGINT, before)
