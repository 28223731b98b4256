"""The warning about a busy machine, once and only where it can help."""

import pytest
import torch

from kfac_cli.config.compose import load_config
from kfac_cli.recording.processors import Load
from kfac_cli.run import busy, runner
from kfac_cli.run.busy import BusyCheck

BEFORE = Load(wall=0.0, own=0.0, all=0.0)


@pytest.fixture
def loaded(monkeypatch):
    """Two threads on two processors; others use one and a half."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(busy.os, "cpu_count", lambda: 2)

    def at(seconds):
        load = Load(wall=seconds, own=0.5 * seconds, all=2.0 * seconds)
        monkeypatch.setattr(Load, "now", lambda: load)

    return at


def test_it_is_said_once_as_soon_as_it_can_be_told(loaded, caplog):
    check = BusyCheck(BEFORE, torch.device("cpu"), None)
    loaded(0.1)
    check()
    assert caplog.messages == []
    for seconds in (1.0, 2.0):
        loaded(seconds)
        check()
    assert caplog.messages == ["others use 1.5 of 2 processors; threads=1 may be much faster"]


@pytest.mark.parametrize(("device", "threads"), [("cpu", 2), ("cuda", None)])
def test_it_is_not_said_where_threads_were_chosen_or_a_gpu_computes(
    loaded, caplog, device, threads
):
    loaded(5.0)
    BusyCheck(BEFORE, torch.device(device), threads)()
    assert caplog.messages == []


def test_the_default_number_of_threads_is_what_the_process_may_use(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(runner, "usable_processors", lambda: 3)
    torch.set_num_threads(8)
    try:
        for words, expected in ([], 3), (["threads=5"], 5), (["threads=9"], 9):
            with runner.process_for(load_config(["device=cpu", *words]), None):
                assert torch.get_num_threads() == expected
            assert torch.get_num_threads() == 8
    finally:
        torch.set_num_threads(before)
