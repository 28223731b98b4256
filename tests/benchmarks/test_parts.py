"""Each benchmark runs with tiny sizes and leaves its section."""

import sys

import pytest
import torch

from benchmarks import cost, cycle, iteration, memory, overhead, refresh
from benchmarks.common.command import kfac_run as kfac_run_apart
from benchmarks.common.document import markdown_table
from benchmarks.common.problems import SMALL
from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import targets
from benchmarks.memory import Use
from kfac_cli.errors import UserError


@pytest.mark.parametrize("part", [cost, cycle, iteration, refresh], ids=lambda part: part.PART.name)
def test_a_part_measures_both_inverses_at_both_sizes(part):
    text = part.PART.section(small=True)
    lines = text.splitlines()
    assert lines[0] == f"## {part.PART.title}"
    assert sum(line.startswith("| block-") or "| block-" in line for line in lines) >= 4
    assert "nan" not in text


def test_memory_is_measured_in_processes_of_their_own():
    use = memory._median(SMALL, "kfac_diag", 40, 1)
    assert use.peak > use.before > 10_000_000
    assert use.cases == 40 * 32 * 4


def test_a_process_that_fails_is_named():
    with pytest.raises(UserError, match="nonsense, m = 40: its process ended with 1"):
        memory._median(SMALL, "nonsense", 40, 1)


def test_only_cases_that_were_copied_are_left_out():
    train = torch.ones(6, 4)
    assert memory._copied(train[torch.tensor([2, 0])], train) == 2 * 4 * 4
    assert memory._copied(train[1:3], train) == 0
    assert memory._copied(None, train) == 0


def test_the_work_of_an_iteration_excludes_data_and_libraries():
    assert Use(peak=100, before=60, cases=10).work == 30
    assert memory._ratio(Use(100, 60, 10), Use(130, 60, 40)) == "1.00"
    assert memory._ratio(Use(60, 60, 10), Use(130, 60, 40)) == "–"


def test_the_shares_of_a_run_are_those_of_its_summary():
    summary = {
        "seconds": 200.0,
        "optimizer_seconds": 180.0,
        "evaluation_seconds": 8.0,
        "logging_seconds": 2.0,
    }
    rows = [["optimizer", "180", "90.0"], ["evaluation", "8.00", "4.0"], ["logging", "2.00", "1.0"]]
    rows += [["other", "10.0", "5.0"], ["evaluation and logging", "10.0", "5.0"]]
    expected = markdown_table(["part", "seconds", "per cent"], rows)
    assert overhead.shares(summary).startswith(expected)


@pytest.fixture
def in_this_process(kfac_run, monkeypatch):
    """Calls of the command are made in this process, which is faster; returns their words."""
    calls = []

    def run(words):
        calls.append(list(words))
        answer = kfac_run(*words)
        assert answer.code == 0, answer.err

    for module in (overhead, targets):
        monkeypatch.setattr(module, "kfac_run", run)
    return calls


def test_a_command_that_fails_is_named():
    with pytest.raises(UserError, match="kfac-run --nonsense: ended with exit code"):
        kfac_run_apart(["--nonsense"])


def test_the_start_of_the_command_is_measured_on_the_command(
    tmp_path, monkeypatch, in_this_process
):
    monkeypatch.setattr(overhead.subprocess, "run", lambda *_, **__: None)
    start = overhead._start(tmp_path, 0, ["experiment=smoke"])
    assert start.command > 0
    assert start.limit == 2 * start.torch + 2


def test_the_commands_for_the_gpu_run_on_a_cpu_with_tiny_sizes(
    tmp_path, monkeypatch, in_this_process
):
    monkeypatch.setattr(sys, "argv", ["gpu", "--small", "--output", str(tmp_path / "page.md")])
    assert gpu.main() == 0
    page = (tmp_path / "page.md").read_text()
    assert page.count("### ") == 6
    assert "Not measured" not in page


def test_without_a_gpu_one_line_says_so(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    assert gpu.main() == 0
    assert capsys.readouterr().out == f"{gpu.NO_GPU}\n"


def test_what_there_is_no_time_for_is_said():
    assert gpu._measured(lambda: "text", gpu.Budget(0)) == "No time was left."
    assert gpu._measured(lambda: "text", gpu.Budget(60)) == "text"
    assert [gpu.Budget(50).limit(20), gpu.Budget(0).limit(20)] == [20, 1]


def test_a_part_that_cuda_refuses_leaves_the_others(capsys):
    def fails():
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert gpu._measured(fails, gpu.Budget(60)) == "Not measured: CUDA out of memory"
    assert "OutOfMemoryError" in capsys.readouterr().err
