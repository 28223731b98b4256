"""A run that a limit of time or a target ended continues with another one."""

import json

import pytest
from soak.compare import differences

from kfac_cli.recording.csv_table import read_table
from tests.commands.resume.helpers import change_checkpoint, start


def test_the_time_limit_counts_anew_in_each_process_which_does_an_iteration(
    kfac_run, words, tmp_path
):
    start(tmp_path / "run", [*words, "max_seconds=1e-9"])
    for done in (2, 3):
        answer = kfac_run("resume=run")
        assert answer.code == 0
        assert f"time limit reached after {done} of 24 iterations" in answer.out
        assert "kfac-run resume=run  continues from here" in answer.out
    assert kfac_run("resume=run", "max_seconds=1e6", "evaluate_every=4").code == 0
    rows = read_table(tmp_path / "run/evaluations.csv")
    assert [row["iteration"] for row in rows] == [1, 2, 3, 4, 8, 12, 16, 20, 24]


def test_optimizer_seconds_count_from_the_beginning_of_the_run(kfac_run, words, tmp_path):
    start(tmp_path / "run", [*words, "max_optimizer_seconds=1e-9"])
    answer = kfac_run("resume=run")
    assert answer.code == 0
    assert "time limit reached after 1 of 24 iterations" in answer.out
    assert "continues from here, given more max_optimizer_seconds=" in answer.out
    both = kfac_run("resume=run", "max_optimizer_seconds=1e6", "max_seconds=1e-9").out
    assert "kfac-run resume=run  continues from here\n" in both  # it needs no more of the former
    again = kfac_run("resume=run", "max_optimizer_seconds=1e6", "max_seconds=1e6")
    assert "24 iterations" in again.out


def test_the_time_before_the_resumption_does_not_count(kfac_run, words, tmp_path):
    start(tmp_path / "run", [*words, "iterations=12"])

    def add(tree):
        tree["times"]["seconds"] += 1e6

    change_checkpoint(tmp_path / "run/checkpoint-12.safetensors", add)
    assert kfac_run("resume=run", "iterations=24", "max_seconds=1e5").code == 0
    found = json.loads((tmp_path / "run/summary.json").read_text())
    assert (found["status"], found["iterations"]) == ("finished", 24)
    assert found["seconds"] > 1e6


def test_a_run_that_missed_its_target_says_so_again(kfac_run, words, tmp_path):
    start(tmp_path / "run", [*words, "iterations=4", "target_error=0"])
    sentence = "run: target not reached after 4 iterations; a larger iterations=N continues it\n"
    answer = kfac_run("resume=run")
    assert (answer.code, answer.out, answer.err) == (0, sentence, "")
    answer = kfac_run("resume=run", "require_target=true")
    assert (answer.code, answer.out, answer.err) == (1, "", f"kfac-run: error: {sentence}")


@pytest.mark.parametrize(
    ("given", "code", "status"),
    [("1e6", 0, "target reached"), ("0", 1, "target not reached")],
)
def test_a_finished_run_can_be_held_against_a_target(kfac_run, half, given, code, status):
    before = (half / "metrics.csv").read_bytes()
    answer = kfac_run("resume=run", f"target_error={given}", "require_target=true")
    assert answer.code == code
    found = json.loads((half / "summary.json").read_text())
    assert (found["status"], found["iterations"]) == (status, 12)
    assert found["target"]["iteration"] == (4 if code == 0 else None)
    assert (half / "metrics.csv").read_bytes() == before


def test_a_run_that_reached_its_target_resumes_with_a_smaller_one(
    kfac_run, words, tmp_path, uninterrupted
):
    start(tmp_path / "run", [*words, "target_error=1e6"])
    answer = kfac_run("resume=run")
    assert answer.out == (
        "run: target reached after 4 iterations; a smaller target_error=E or null continues it\n"
    )
    assert kfac_run("resume=run", "target_error=null").code == 0
    assert differences(tmp_path / "run", uninterrupted(words)) == []
