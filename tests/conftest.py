"""Fixtures of all tests: a separate cache folder, the command in this process, tidy logging."""

import contextlib
import gc
import os
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from calling import Answer, calling
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.types import RunMode
from omegaconf import DictConfig
from soak.experiment import prepare
from soak.faults import Faults
from tensorboard.summary.writer import event_file_writer

from kfac_cli.__main__ import main
from kfac_cli.recording import picture_sink, tensorboard
from kfac_cli.recording.figure import draw_run
from kfac_cli.report import draw_matplotlib

CANVAS = draw_matplotlib._canvas

UNDRAWN = Path(__file__).parent / "undrawn"

MAX_COMPOSED = 2000
"""Command lines whose settings are kept."""


def pytest_collection_finish() -> None:
    """Exempt what exists before the first test from garbage collection, which would read it all."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests/theory last, and skip the tests marked `gpu` where there is no CUDA device.

    Its files are quick, so the processes of a parallel run, which take file after file, end
    together.
    """
    items.sort(key=lambda item: "theory" in item.path.parts)
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
            known[file] = pickle.dumps(read(source, file))
        return pickle.loads(known[file])  # faster than a deep copy

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "_read_config", read_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _a_command_line_is_composed_once() -> Iterator[None]:
    """Let Hydra compose a command line once for its check and its run, and for several tests.

    Only shipped settings without changes of Hydra's own, which could depend on more than the words,
    but for those that every command line has.
    """
    compose, known = ConfigLoaderImpl.load_configuration, {}
    harmless = ("hydra.run.dir=", "hydra.sweep.dir=", "hydra.output_subdir=null", "hydra.mode=")

    def compose_once(
        self: ConfigLoaderImpl,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        places = [each.path or "" for each in self.config_search_path.get_path()]
        own = any("hydra" in word and not word.startswith(harmless) for word in overrides)
        if own or not all(place.startswith(("pkg://", "structured://")) for place in places):
            return compose(
                self, config_name, overrides, run_mode, from_shell, validate_sweep_overrides
            )
        key = (*places, config_name, *overrides, run_mode, validate_sweep_overrides)
        if key not in known:
            if len(known) == MAX_COMPOSED:
                known.clear()
            made = compose(
                self, config_name, overrides, run_mode, from_shell, validate_sweep_overrides
            )
            known[key] = pickle.dumps(made)
        settings = pickle.loads(known[key])
        settings.hydra.runtime.cwd = os.getcwd()
        return settings

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigLoaderImpl, "load_configuration", compose_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _processes_draw_no_picture() -> Iterator[None]:
    """As in this process: see tests/undrawn/sitecustomize.py."""
    paths = [str(UNDRAWN), *filter(None, [os.environ.get("PYTHONPATH")])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        yield


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_drawn() -> Iterator[None]:
    """Runs omit run.png and figures are empty: drawing takes longer than what is tested.

    `pictures` is for tests that need them.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture_sink, "draw_run", lambda *arguments: None)
        patch.setattr(draw_matplotlib, "_canvas", _blank)
        yield


def _blank(*_: object) -> object:
    from matplotlib.figure import Figure

    return Figure(figsize=(1, 1))


class _ClockAhead:
    """The module `time`, but that sleeping sets the clock forward instead."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def time(self) -> float:
        return time.time() + self._ahead

    def sleep(self, seconds: float) -> None:
        self._ahead += seconds

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)


@pytest.fixture(scope="session", autouse=True)
def _event_files_are_not_waited_for() -> Iterator[None]:
    """Let a resumed run have its later name for TensorBoard's file, in whole seconds, at once."""
    with pytest.MonkeyPatch.context() as patch:
        clock = _ClockAhead()
        for module in (tensorboard, event_file_writer):
            patch.setattr(module, "time", clock)
        yield


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets runs draw run.png, and figures be drawn."""
    monkeypatch.setattr(picture_sink, "draw_run", draw_run)
    monkeypatch.setattr(draw_matplotlib, "_canvas", CANVAS)


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
