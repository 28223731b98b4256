"""Fixtures: the command kfac-paper in this process, and a study that does nothing but count."""

import sys

import pytest
from calling import calling

from kfac_cli.paper import registry
from kfac_cli.paper.__main__ import main
from kfac_cli.paper.registry import Entry
from kfac_cli.paper.study import Finding, Verdict


class CountingStudy:
    """A study that remembers its jobs; `acts` is called with each."""

    def __init__(self):
        self.jobs = []
        self.acts = lambda job: (job.folder / "work").write_text("")

    def __call__(self, job):
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
    entry = Entry(
        f"{__name__}:STUDY",
        "figure 0",
        "counts its calls",
        small="a minute",
        full="an hour",
        options=("flakes", "jobs"),
    )
    monkeypatch.setattr(registry, "STUDIES", {"counting": entry})
    return study


@pytest.fixture
def kfac_paper(tmp_path, monkeypatch, capsys):
    """Calls `kfac-paper *arguments` in this process, with tmp_path as the current directory."""
    monkeypatch.chdir(tmp_path)
    with calling("kfac-paper", main, monkeypatch, capsys) as call:
        yield call


@pytest.fixture(autouse=True)
def _drawn(pictures):
    """The figures of a study are drawn."""
