"""summary.json, and the text printed at the end of a run."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kfac_cli.recording.environment import environment
from kfac_cli.recording.summary import (
    FILE_DESCRIPTIONS,
    best_evaluation,
    terminal_summary,
    write_summary,
)

EVALUATIONS = [
    {"iteration": 25, "train_error": 3.0, "train_error_average": 3.0, "test_error": 3.5},
    {
        "iteration": 50,
        "train_error": 0.4,
        "train_error_average": 0.352,
        "test_error": 0.5,
        "test_error_average": 0.371,
    },
    {"iteration": 75, "train_error": math.nan, "train_error_average": 0.36},
]

COMPLETE = {
    "title": "curves, kfac_tridiag",
    "status": "finished",
    "iterations": 500,
    "iterations_planned": 500,
    "seconds": 221.3,
    "optimizer_seconds": 200.0,
    "evaluation_seconds": 18.0,
    "logging_seconds": 1.2,
    "peak_memory": 532_000_000,
    **best_evaluation(EVALUATIONS),
}


def refuse(constant):
    raise AssertionError(f"{constant} is not standard JSON")


def written(tmp_path, summary):
    return json.loads(write_summary(tmp_path, summary).read_text(), parse_constant=refuse)


def test_the_best_errors_belong_to_the_same_parameters_the_better_ones():
    assert best_evaluation(EVALUATIONS) == {
        "best_train_error": 0.352,
        "best_iteration": 50,
        "best_parameters": "average",
        "best_test_error": 0.371,
    }


def test_a_tie_goes_to_the_iterate():
    best = best_evaluation(EVALUATIONS[:1])
    assert (best["best_parameters"], best["best_test_error"]) == ("iterate", 3.5)


@pytest.mark.parametrize("evaluations", [[], [{"iteration": 5, "train_error": math.inf}]])
def test_without_a_finite_error_there_is_no_best_evaluation(evaluations):
    assert set(best_evaluation(evaluations).values()) == {None}


def test_summary_is_standard_json_whatever_the_numbers(tmp_path):
    summary = {
        "status": "diverged",
        "error": math.nan,
        "nested": {"list": [math.inf, 1, (2.5, -math.inf)]},
        "tensor": torch.tensor(0.5),
        "count": torch.tensor(3),
        "folder": Path("a") / "b",
        "flag": True,
        "name": "Größe λ",
        "command": "kfac-run data_dir=\udcff",
    }
    assert written(tmp_path, summary) == {
        "status": "diverged",
        "error": None,
        "nested": {"list": [None, 1, [2.5, None]]},
        "tensor": 0.5,
        "count": 3,
        "folder": "a/b",
        "flag": True,
        "name": "Größe λ",
        "command": "kfac-run data_dir=\udcff",
    }


def test_a_summary_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    write_summary(tmp_path, {"status": "old"})
    with pytest.raises(TypeError, match="cannot hold"):
        write_summary(tmp_path, {"status": object()})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_summary(tmp_path, {"status": "new"})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"status": "old"}
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"]


def test_environment_names_versions_machine_and_threads(tmp_path):
    found = environment("cpu")
    assert torch.__version__.startswith(found["torch"])
    assert found["thread_count"] == torch.get_num_threads()
    assert found["device"] == "cpu"
    for name in ("python", "torchvision", "hydra-core", "platform", "device_name"):
        assert isinstance(found[name], str) and found[name]
    assert "kfac-run" in found
    assert written(tmp_path, found) == found


def test_peak_memory_counts_what_was_freed_again():
    code = """
import torch
from kfac_cli.recording.environment import peak_memory
before = peak_memory()
large = torch.ones(200_000_000, dtype=torch.uint8)
with_it = peak_memory()
del large
# the kernel's counters are exact to some hundred kilobytes
print(before, with_it, peak_memory() >= 0.99 * with_it)
"""
    outcome = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True
    )
    before, with_it, remembered = outcome.stdout.split()
    assert 50e6 < int(before) < int(with_it) - 180e6
    assert remembered == "True"


@pytest.mark.parametrize(
    ("changes", "first_line"),
    [
        ({}, "curves, kfac_tridiag: finished after 500 iterations in 3 min 41 s"),
        (
            {"status": "target reached", "iterations": 137, "seconds": 4.24},
            "curves, kfac_tridiag: target reached after 137 of 500 iterations in 4.2 s",
        ),
        (
            {"status": "target not reached"},
            "curves, kfac_tridiag: target not reached after 500 iterations in 3 min 41 s",
        ),
        (
            {"status": "time limit reached", "iterations": 1, "seconds": 7499},
            "curves, kfac_tridiag: time limit reached after 1 of 500 iterations in 2 h 5 min",
        ),
        (
            {"status": "interrupted", "iterations": 0, "seconds": None, "title": None},
            "interrupted after 0 of 500 iterations",
        ),
        (
            {"status": "finished", "iterations": 1, "iterations_planned": 1},
            "curves, kfac_tridiag: finished after 1 iteration in 3 min 41 s",
        ),
    ],
)
def test_the_first_line_says_how_the_run_ended(tmp_path, changes, first_line):
    assert terminal_summary(COMPLETE | changes, tmp_path).splitlines()[0] == first_line


REACHED = {"error": 0.5, "reached": True, "iteration": 50, "cases": 60000, "seconds": 20.0}
MISSED = {"error": 0.3, "reached": False, "iteration": None, "cases": None, "seconds": None}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"target": REACHED}, "0.5      reached at iteration 50, after 20.0 s"),
        ({"target": {**REACHED, "iteration": None, "seconds": None}}, "0.5      reached"),
        ({"target": MISSED, "status": "target not reached"}, "0.3      not reached"),
        (
            {"target": MISSED, "status": "target not reached", "iterations": 137},
            "0.3      not reached within the time limit",
        ),
        (
            {"target": MISSED, "status": "interrupted", "iterations": 137},
            "0.3      not reached",
        ),
    ],
)
def test_a_target_is_said_to_be_reached_or_not(tmp_path, changes, text):
    assert (
        f"  target error    {text}" in terminal_summary(COMPLETE | changes, tmp_path).splitlines()
    )


def test_without_a_target_nothing_is_said_of_it(tmp_path):
    assert "target error" not in terminal_summary(COMPLETE | {"target": None}, tmp_path)


def test_the_terminal_summary_of_a_finished_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("outputs/curves run")
    folder.mkdir(parents=True)
    for name in ("run.png", "metrics.csv", "notes.txt", "summary.json"):
        (folder / name).touch()
    (folder / "tensorboard").mkdir()

    assert terminal_summary(COMPLETE, folder.absolute()).splitlines()[1:] == [
        "",
        "  training error  0.3520   best, of the averaged parameters, at iteration 50",
        "  test error      0.3710   of the same parameters",
        "  time            optimizer 90 %, evaluation 8 %, logging 1 %, other 1 %",
        "  peak memory     532 MB",
        "",
        "  outputs/curves run",
        "    run.png       the whole run in one picture",
        "    summary.json  best errors, how it ended, versions, machine",
        "    metrics.csv   a row per iteration: error, damping, time",
        "    tensorboard/  the same and more, for TensorBoard",
        "    notes.txt",
        "",
        "  tensorboard --logdir 'outputs/curves run'",
    ]


def test_only_paths_are_wider_than_a_terminal(tmp_path):
    for pattern, _ in FILE_DESCRIPTIONS:
        (tmp_path / pattern.replace("*", "-500000.pt")).touch()
    (tmp_path / "checkpoint-500000.safetensors").touch()
    long = {
        "title": "mnist_labels, kfac_tridiag_no_momentum",
        "status": "diverged",
        "iterations": 500_000,
        "iterations_planned": 1_000_000,
        "best_iteration": 500_000,
        "target": REACHED | {"iteration": 500_000, "seconds": 10_000},
        "reason": "train_error, train_error_average not finite in the last evaluation; "
        "no value in the data is the cause",
    }
    lines = terminal_summary(COMPLETE | long, tmp_path).splitlines()
    assert [line for line in lines if len(line) > 80 and str(tmp_path) not in line] == []
    place = next(i for i, line in enumerate(lines) if line.startswith("  diverged  "))
    assert lines[place + 1] == f"{'':18}evaluation; no value in the data is the cause"


def test_on_a_narrow_terminal_lines_break_between_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("run")
    folder.mkdir()
    for name in ("metrics.csv", "checkpoint-50.safetensors", "notes.txt"):
        (folder / name).touch()
    assert terminal_summary(COMPLETE, folder, 40).splitlines()[3:] == [
        "  training error  0.3520   best, of the",
        "                  averaged parameters,",
        "                  at iteration 50",
        "  test error      0.3710   of the same",
        "                  parameters",
        "  time            optimizer 90 %,",
        "                  evaluation 8 %,",
        "                  logging 1 %, other 1 %",
        "  peak memory     532 MB",
        "",
        "  run",
        "    metrics.csv",
        "      a row per iteration: error,",
        "      damping, time",
        "    checkpoint-50.safetensors",
        "      what resuming the run needs",
        "    notes.txt",
    ]


def test_a_diverged_run_without_errors_still_has_its_summary(tmp_path):
    bare = {"status": "diverged", "iterations": 3, "best_train_error": math.nan, "seconds": 0.0}
    assert terminal_summary(bare, tmp_path).splitlines() == [
        "diverged after 3 iterations in 0.0 s",
        "",
        "  training error  no finite value was measured",
        "",
        f"  {tmp_path}",
    ]


def test_an_interrupted_run_without_an_evaluation_says_so(tmp_path):
    bare = {"status": "interrupted", "iterations": 3, "best_train_error": None, "seconds": 1.0}
    expected = "  training error  not measured: interrupted before the first evaluation"
    assert expected in terminal_summary(bare, tmp_path).splitlines()
    evaluated = {**bare, "final_iteration": 3, "final_train_error": math.nan}
    assert "no finite value was measured" in terminal_summary(evaluated, tmp_path)


def test_the_summary_prints_on_a_terminal_that_knows_ascii_only():
    assert terminal_summary(COMPLETE, "/nowhere").isascii()
