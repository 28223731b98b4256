"""Fixtures: the small experiment, its uninterrupted runs, one that ended early, and a kill."""

import shutil

import pytest
from soak.experiment import overrides, write_cases

from kfac_cli.run.session import Session
from tests.commands.resume.helpers import KilledError, start


@pytest.fixture(scope="session")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "cases.npz"
    write_cases(path)
    return path


@pytest.fixture
def words(file):
    """The command line of the small experiment, without TensorBoard, which is slow.

    On a CPU, whose products and chunks some tests name.
    """
    return [*overrides(file), "tensorboard=false", "device=cpu"]


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    """The folder of the uninterrupted run with the given command line."""
    root = tmp_path_factory.mktemp("whole")
    folders = {}

    def folder_of(words):
        key = tuple(words)
        if key not in folders:
            folders[key] = root / str(len(folders))
            start(folders[key], words)
        return folders[key]

    return folder_of


@pytest.fixture
def half(words, tmp_path, uninterrupted):
    """A folder with a run that ended at iteration 12 of 12."""
    return shutil.copytree(uninterrupted([*words, "iterations=12"]), tmp_path / "run")


@pytest.fixture
def die_in_step(monkeypatch):
    """Kills the process at the end of the step after the given iteration; never for None."""
    step = Session.step

    def arrange(iteration):
        def deadly(self):
            result = step(self)
            if iteration is not None and self.iteration == iteration + 1:
                raise KilledError
            return result

        monkeypatch.setattr(Session, "step", deadly)

    yield arrange
    monkeypatch.setattr(Session, "step", step)
