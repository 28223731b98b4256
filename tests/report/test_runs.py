"""Run folders of every kind, read and complained about."""

import csv
import io
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kfac_cli.report.contents import contents
from kfac_cli.report.page import page
from kfac_cli.report.runs import FAILED, UNFINISHED, load_runs
from tests.report.folders import settings, write_run


def test_a_run_has_its_settings_tables_and_environment(tmp_path):
    write_run(tmp_path / "run", settings(seed=3), errors=(9.0, 4.0), every=10)
    (run,), complaints = load_runs([tmp_path / "run"])
    assert complaints == []
    assert (run.seed, run.optimizer, run.dataset) == (3, "kfac_tridiag", "curves")
    assert run.status == "finished"
    assert run.iterations == 20
    assert run.settings["optimizer.t3"] == 20
    np.testing.assert_array_equal(run.evaluations["train_error_best"], [9.0, 4.0])
    np.testing.assert_array_equal(run.evaluations["cases"], [1000, 2000])
    assert run.metrics["outcome"][2] == "rejected"
    assert math.isnan(run.metrics["rho"][0])
    assert str(run.environment) == "A processor, 1 thread, torch 2.14.1"


def test_seconds_depend_on_processes_and_on_how_matrices_were_multiplied(tmp_path):
    write_run(tmp_path / "0", matmul="blas")
    write_run(tmp_path / "1", matmul="blas", processes=1)
    write_run(tmp_path / "2", matmul="blas", processes=4)
    write_run(tmp_path / "3", matmul="onednn")
    alone, same, several, onednn = (run.environment for run in load_runs([tmp_path])[0])
    assert alone.key == same.key
    assert len({alone.key, several.key, onednn.key}) == 3
    assert str(several) == "A processor, 1 thread, 4 processes, matmul=blas, torch 2.14.1"


def test_a_sweep_is_its_jobs_in_the_order_of_their_numbers(tmp_path):
    for name, seed in (("10_seed=10", 10), ("2_seed=2", 2), ("0", 0)):
        write_run(tmp_path / "sweep" / name, settings(seed=seed))
    runs, complaints = load_runs([tmp_path / "sweep", tmp_path / "sweep" / "2_seed=2"])
    assert [run.name for run in runs] == ["0", "2_seed=2", "10_seed=10"]
    assert complaints == []


@pytest.mark.parametrize(
    ("name", "contents", "complaint"),
    [
        ("summary.json", "{", "summary.json: is damaged: it does not hold JSON"),
        ("summary.json", "[1]", "summary.json: is not the summary of a run of kfac-run"),
        ("summary.json", "[" * 100_000, "summary.json: is damaged"),
        ("metrics.csv", "a,b\n1,2\n", "metrics.csv: is not a table of kfac-run"),
        ("config.yaml", "a: 1\n", "config.yaml: does not hold the settings of a run"),
        ("config.yaml", "a: ${oc.env:HOME}\n", "config.yaml: cannot be read"),
    ],
)
def test_a_damaged_or_foreign_folder_is_one_line_and_does_not_lose_the_rest(
    tmp_path, name, contents, complaint
):
    write_run(tmp_path / "good")
    bad = tmp_path / "bad"
    if name == "config.yaml":
        bad.mkdir()
    else:
        write_run(bad)
    (bad / name).write_text(contents)
    runs, complaints = load_runs([tmp_path])
    assert "good" in [run.name for run in runs]
    assert len(complaints) == 1
    assert complaint in complaints[0]
    assert "\n" not in complaints[0]


def test_paths_without_runs_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    paths = [tmp_path / "empty", tmp_path / "file", tmp_path / "nowhere", "\0"]
    runs, complaints = load_runs(paths)
    assert runs == []
    assert [line.partition(": ")[2] for line in complaints] == [
        "holds no run",
        "is not a folder",
        "no such folder",
        complaints[3].partition(": ")[2],
    ]


def test_a_folder_that_cannot_be_read_is_named_and_the_others_are_read(tmp_path, monkeypatch):
    write_run(tmp_path / "a" / "run")
    (tmp_path / "closed").mkdir()
    write_run(tmp_path / "z" / "run")
    listed = Path.iterdir

    def refused(folder):
        if folder.name == "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", refused)
    runs, complaints = load_runs([tmp_path])
    assert [run.name for run in runs] == ["a/run", "z/run"]
    assert [line.rpartition("/")[2] for line in complaints] == ["closed: Permission denied"]


def test_rows_before_a_damaged_one_are_used(tmp_path):
    folder = write_run(tmp_path / "run", errors=(9.0, 4.0, 2.0), every=5)
    table = folder / "evaluations.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join([*lines[:3], lines[3].replace("2.0", "two")]))
    (run,), complaints = load_runs([folder])
    np.testing.assert_array_equal(run.evaluations["train_error"], [9.0, 4.0])
    assert complaints[0].endswith("line 4 is damaged; the rows before it are used")


def test_a_row_cut_off_by_a_killed_process_is_no_complaint(tmp_path):
    folder = write_run(tmp_path / "run", errors=(9.0, 4.0), status=None)
    table = folder / "metrics.csv"
    table.write_text(table.read_text()[:-30])
    (folder / "config.yaml").write_text("iterations: 500\nseed: 1\noptimizer:\n  name: adam\n")
    (run,), complaints = load_runs([folder])
    assert complaints == []
    assert run.status == UNFINISHED
    assert run.iterations == 49
    assert run.settings == {
        "iterations": 500, "seed": 1, "optimizer.name": "adam", "processes": 1,
    }  # fmt: skip


def test_a_job_that_failed_says_why(tmp_path):
    (tmp_path / "config.yaml").write_text("iterations: 500\noptimizer:\n  name: adam\n")
    (tmp_path / "error.log").write_text("Traceback\nValueError: \x1b[31mno\n")
    (run,), complaints = load_runs([tmp_path])
    assert complaints == []
    assert (run.status, run.reason) == (FAILED, "ValueError: \\x1b[31mno")
    assert run.evaluations == {}


def test_reading_runs_does_not_load_torch(tmp_path):
    write_run(tmp_path / "run")
    program = (
        "import sys; from kfac_cli.report.runs import load_runs; "
        f"runs, _ = load_runs([{str(tmp_path)!r}]); print(len(runs), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "False"]


def test_a_summary_with_huge_numbers_is_read(tmp_path):
    folder = write_run(tmp_path / "run")
    summary = json.loads((folder / "summary.json").read_text())
    summary["settings"]["l2"] = 10**400
    (folder / "summary.json").write_text(json.dumps(summary))
    runs, complaints = load_runs([folder])
    assert len(runs) == 1
    assert complaints == []


STORED = Path(__file__).parent / "stored"


@pytest.mark.parametrize("folder", sorted(STORED.iterdir()), ids=lambda folder: folder.name)
def test_every_earlier_format_is_read(folder):
    (run,), complaints = load_runs([folder])
    assert complaints == []
    assert (run.status, run.seed, run.iterations) == ("finished", 0, 10)
    assert (run.dataset, run.optimizer) == ("curves", "kfac_tridiag")
    assert run.settings["schedule.full_at"] == 10
    assert run.environment.key is not None
    np.testing.assert_array_equal(run.evaluations["iteration"], [5, 10])
    np.testing.assert_array_equal(run.evaluations["cases"], [416, 1742])
    assert np.isfinite(run.evaluations["optimizer_seconds"]).all()
    assert run.evaluations["train_error_best"][-1] == run.summary["best_train_error"]
    assert len(run.metrics["lambda"]) == 10
    if folder.name != "2026-11-24-first":  # which did not record rejections
        assert set(run.metrics["outcome"]) == {"accepted"}


@pytest.mark.parametrize("odd", [None, True, -1, 1e308, "<b>", [], {"a": {}}, [[[1]]]], ids=repr)
def test_odd_values_in_a_summary_do_not_stop_the_report(tmp_path, odd):
    """One run for each entry, and for each setting, that holds the odd value."""
    folder = write_run(tmp_path / "good", errors=(9.0, 4.0), every=5)
    summary = json.loads((folder / "summary.json").read_text())
    changed = [{**summary, name: odd} for name in summary]
    changed += [
        {**summary, "settings": {**summary["settings"], name: odd}} for name in summary["settings"]
    ]
    for number, contents_of in enumerate(changed):
        copy = tmp_path / str(number)
        shutil.copytree(folder, copy)
        (copy / "summary.json").write_text(json.dumps(contents_of))
    runs, _ = load_runs([tmp_path])
    assert len(runs) >= len(changed) - 2
    compared = contents(runs)
    assert len(compared.runs.rows) >= 2
    rows = list(csv.DictReader(io.StringIO(compared.runs.csv())))
    assert len(rows) == len(compared.runs.rows)
    assert {row["training error"] for row in rows} == {"4.0"}
    assert page(compared, [])
