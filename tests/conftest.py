"""Fixtures of all tests: a separate cache folder, the command in this process, tidy logging."""

import contextlib
import copy
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from calling import Answer, calling
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from soak.experiment import prepare
from soak.faults import Faults

from kfac_cli.__main__ import main


def pytest_collection_finish() -> None:
    """Exempt what exists before the first test from garbage collection, which would read it all."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked `gpu` where there is no CUDA device."""
    marked = [item for item in items if item.get_closest_marker("gpu") is not None]
    if marked and not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session", autouse=True)
def _separate_cache_folder(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _shipped_settings_are_parsed_once() -> Iterator[None]:
    """Let Hydra parse each file of conf/ once for all tests: no test changes one."""
    [kind] = [each for each in Plugins.instance().discover(ConfigSource) if each.scheme() == "pkg"]
    read, known = kind._read_config, {}

    def read_once(source: ConfigSource, file: Path) -> ConfigResult:
        if file not in known:
            known[file] = read(source, file)
        return copy.deepcopy(known[file])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "_read_config", read_once)
        yield


@pytest.fixture
def kfac_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Answer]]:
    """Calls `kfac-run *arguments` in this process, with tmp_path as the current directory."""
    monkeypatch.chdir(tmp_path)
    with calling("kfac-run", main, monkeypatch, capsys) as call:
        yield call


@pytest.fixture
def begin(kfac_run: Callable[..., Answer], tmp_path: Path) -> Callable[..., Answer]:
    """Runs the experiment of a command line in a folder of the given name, with faults if any."""

    def run(name: str, words: list[str], faults: Faults | None = None) -> Answer:
        prepare(tmp_path / name, words)
        with contextlib.nullcontext() if faults is None else faults.active():
            return kfac_run(f"resume={name}")

    return run


@pytest.fixture
def real_data_folder() -> Path:
    """The folder of real data files; without one, the test is skipped."""
    folder = os.environ.get("KFAC_DATA_DIR")
    if not folder:
        pytest.skip("needs the real data files: set KFAC_DATA_DIR to their folder")
    return Path(folder)
