"""The tables, times and log of a resumed run continue those in its folder."""

import json
import re

import pytest

from kfac_cli.recording.csv_table import read_table
from tests.commands.resume.helpers import KilledError, change_checkpoint, refusal, start


def test_the_times_continue(kfac_run, words, tmp_path, die_in_step, monkeypatch):
    die_in_step(13)
    with pytest.raises(KilledError):
        start(tmp_path / "run", [*words, "checkpoint.every=10"])

    def add(tree):
        tree["times"] = {name: value + 1000 for name, value in tree["times"].items()}

    change_checkpoint(tmp_path / "run/checkpoint-10.safetensors", add)
    die_in_step(None)
    kfac_run("resume=run")
    rows = read_table(tmp_path / "run/metrics.csv")
    for name in ("seconds", "optimizer_seconds", "evaluation_seconds", "logging_seconds"):
        assert [row[name] > 1000 for row in rows] == [False] * 10 + [True] * 14
        assert json.loads((tmp_path / "run/summary.json").read_text())[name] > 1000


def test_while_a_run_continues_its_folder_does_not_look_like_that_of_an_ended_run(
    kfac_run, half, die_in_step
):
    (half / "error.log").write_text("an earlier error")
    die_in_step(15)
    with pytest.raises(KilledError):
        kfac_run("resume=run", "iterations=24")
    assert not (half / "summary.json").exists()
    assert not (half / "error.log").exists()
    die_in_step(None)
    assert kfac_run("resume=run").code == 0
    assert len(read_table(half / "metrics.csv")) == 24


def test_its_log_continues_in_the_format_of_a_new_run(kfac_run, half):
    kfac_run("resume=run", "iterations=13", "chunk_size=7")
    for line in (half / "run.log").read_text().splitlines():
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+: ", line)
    assert "chunk_size is 7 and was 2000" in (half / "run.log").read_text()


def test_a_removed_table_is_reported_to_have_a_gap(kfac_run, half):
    (half / "metrics.csv").unlink()
    answer = kfac_run("resume=run", "iterations=14")
    assert answer.code == 0
    assert "metrics.csv has no rows for some iterations up to 12" in answer.err
    assert [row["iteration"] for row in read_table(half / "metrics.csv")] == [13, 14]


def test_missing_evaluations_are_reported_and_the_best_is_still_known(kfac_run, half):
    before = json.loads((half / "summary.json").read_text())
    table = half / "evaluations.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join([lines[0], *lines[2:]]))  # without that at iteration 4
    answer = kfac_run("resume=run", "iterations=13", "target_error=1e-9")
    assert answer.code == 0
    assert "evaluations.csv has no rows for some evaluations up to 12" in answer.err
    assert "metrics.csv has no rows" not in answer.err
    table.unlink()
    answer = kfac_run("resume=run", "iterations=14", f"target_error={before['best_train_error']}")
    assert "evaluations.csv has no rows for some evaluations up to 13" in answer.err
    found = json.loads((half / "summary.json").read_text())
    assert found["best_train_error"] <= before["best_train_error"]
    assert found["target"]["reached"]


@pytest.mark.parametrize("changes", [[], ["evaluate_every=5"]])
def test_complete_tables_are_not_reported(kfac_run, half, changes):
    for iterations in (13, 15):
        assert kfac_run("resume=run", *changes, f"iterations={iterations}").code == 0
    assert "no rows" not in (half / "run.log").read_text()


def test_a_damaged_table_is_one_line(kfac_run, half):
    lines = (half / "metrics.csv").read_text().splitlines(keepends=True)
    lines[3] = "3,4\n"
    (half / "metrics.csv").write_text("".join(lines))
    line = refusal(kfac_run, half, "resume=run", "iterations=14")
    assert "metrics.csv, line 4 is damaged: '3,4'; repair it, or remove it" in line
