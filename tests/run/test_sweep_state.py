"""A job of a sweep leaves nothing behind in the process that would change the next job."""

import logging
import os
import random
import signal
import sys
import warnings
import weakref

import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from soak.compare import differences
from soak.experiment import overrides, write_cases

from kfac_cli.config.compose import load_config
from kfac_cli.recording.environment import peak_memory, reset_peak_memory
from kfac_cli.recording.progress import Progress
from kfac_cli.run import runner
from kfac_cli.signals import SIGNALS


@pytest.fixture
def words(tmp_path):
    write_cases(tmp_path / "cases.npz")
    return overrides(tmp_path / "cases.npz")


def thread_counts(monkeypatch):
    """The number of threads with which each evaluation is done."""
    counts = []
    evaluate = runner.evaluate_session

    def counting(*arguments):
        counts.append(torch.get_num_threads())
        return evaluate(*arguments)

    monkeypatch.setattr(runner, "evaluate_session", counting)
    return counts


def test_the_threads_of_a_job_are_not_those_of_the_next(kfac_run, words, monkeypatch):
    before = torch.get_num_threads()
    counts = thread_counts(monkeypatch)
    words = [*words, "iterations=1", "tensorboard=false"]
    assert kfac_run("-m", *words, "threads=3,null", "hydra.sweep.dir=sweep").code == 0
    assert counts == [3, before]
    assert torch.get_num_threads() == before


def test_a_job_that_fails_restores_the_threads_too(kfac_run, words):
    before = torch.get_num_threads()
    answer = kfac_run(*words, "threads=3", "dataset.file=missing.npz", "hydra.run.dir=run")
    assert answer.code == 1
    assert torch.get_num_threads() == before


def process_state():
    return {
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "torch generator": torch.get_rng_state().tolist(),
        "numpy generator": str(np.random.get_state()),
        "Python generator": random.getstate(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "signals": [signal.getsignal(number) for number in SIGNALS],
        "warnings": list(warnings.filters),
        "streams": (sys.stdout, sys.stderr),
        "hooks": (sys.excepthook, sys.unraisablehook),
        "log handlers": list(logging.getLogger().handlers),
        "log level": logging.getLogger().level,
        "errors of logging": logging.raiseExceptions,
        "Hydra": GlobalHydra.instance().is_initialized(),
    }


def test_a_run_leaves_the_process_as_it_was(words, tmp_path):
    """With TensorBoard, in float64, on three threads."""
    config = load_config([*words, "threads=3", "dtype=float64", "iterations=2"])
    import torch.utils.tensorboard  # noqa: F401  # importing it changes the filters of warnings

    before = process_state()
    with Progress(config.iterations) as progress:
        progress.start("title")
        runner.run(config, tmp_path, progress)
    assert process_state() == before


def test_a_job_equals_a_run_of_its_own_whatever_came_before_it(begin, kfac_run, words, tmp_path):
    words = [*words, "threads=1", "tensorboard=false", "iterations=6"]
    kfac_run("-m", *words, "dtype=float64,float32", "hydra.sweep.dir=sweep")
    begin("whole", [*words, "dtype=float32"])
    assert differences(tmp_path / "sweep/1_dtype=float32", tmp_path / "whole") == []


def test_every_job_on_a_gpu_begins_with_an_empty_one_and_a_peak_of_its_own(monkeypatch):
    calls = []
    for name in ("current_device", "empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda *device, name=name: calls.append(name))
    kept = [torch.ones(1)]
    kept.append(kept)  # a cycle, as tracebacks make them
    tensor = weakref.ref(kept[0])
    del kept
    reset_peak_memory("cuda:1")
    assert tensor() is None
    assert calls == ["current_device", "empty_cache", "reset_peak_memory_stats"]


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="only Linux forgets it")
def test_the_peak_memory_of_an_earlier_job_is_forgotten():
    large = torch.ones(50_000_000)
    peak = peak_memory()
    del large
    reset_peak_memory()
    assert peak_memory() < peak - 100_000_000
