"""Seconds are compared, and added up, on one machine only."""

import pytest
import yaml

from kfac_cli.report.contents import contents
from kfac_cli.report.measures import ITERATIONS, SECONDS
from kfac_cli.report.scores import scores
from tests.report.folders import nested, settings, write_run
from tests.report.test_tables import FAST, SLOW, read, texts, write_two_groups


def test_seconds_of_another_machine_are_marked_and_not_ranked(tmp_path):
    write_two_groups(tmp_path)
    write_run(
        tmp_path / "far",
        settings("nesterov_sgd"),
        errors=FAST,
        seconds_per_iteration=1e-3,
        device_name="Another processor",
    )
    part = contents(read(tmp_path), targets=[4.5]).parts[0]
    times = {row[1]: row for row in texts(part.times)}
    assert times["nesterov_sgd"][5] == "0.0500 (other machine)"
    assert times["nesterov_sgd"][3] == "50"
    looks = {row[1].text: row[5].look for row in part.times.rows}
    assert looks["kfac_tridiag"] == "best"
    assert "nesterov_sgd" not in scores(part.problem, [4.5], SECONDS)
    assert "nesterov_sgd" in scores(part.problem, [4.5], ITERATIONS)
    seconds = [row[4].text for row in part.verdicts.rows if "nesterov_sgd" in {c.text for c in row}]
    assert seconds == ["not comparable"] * 2


def test_which_of_several_equal_gpus_it_was_does_not_matter(tmp_path):
    """A parallel sweep gives its jobs the GPUs in turn."""
    gpu = {"device_name": "A GPU", "seconds_per_iteration": 1e-3}
    for seed, name in enumerate(("kfac_tridiag", "adam")):
        write_run(tmp_path / name, settings(name), device=f"cuda:{seed}", errors=FAST, **gpu)
    part = contents(read(tmp_path), targets=[4.5]).parts[0]
    assert [row[5] for row in texts(part.times)] == ["0.0500", "0.0500"]
    write_run(tmp_path / "cpu", settings("sgd"), errors=FAST, device="cpu", **gpu)
    part = contents(read(tmp_path), targets=[4.5]).parts[0]
    assert {row[1]: row[5] for row in texts(part.times)}["sgd"] == "0.0500 (other machine)"


def test_seconds_from_another_start_are_marked_and_not_ranked(tmp_path):
    """Iterations are counted from the beginning of the run that another one starts from."""
    write_two_groups(tmp_path)
    started = settings("nesterov_sgd", start_from="runs/k0")
    write_run(tmp_path / "started", started, errors=FAST, seconds_per_iteration=1e-3)
    compared = contents(read(tmp_path), targets=[4.5])
    times = {row[1]: row for row in texts(compared.parts[0].times)}
    assert times["nesterov_sgd"][5] == "0.0500 (other start)"
    assert "1 run on another machine or several" in compared.summary
    assert "or from another start" in compared.summary


def test_seconds_from_the_same_start_are_compared(tmp_path):
    for name in ("kfac_tridiag", "adam"):
        write_run(tmp_path / name, settings(name, start_from="runs/long"), errors=FAST)
    part = contents(read(tmp_path), targets=[4.5]).parts[0]
    assert [row[5] for row in texts(part.times)] == ["5", "5"]
    other = settings("sgd", start_from="runs/short")
    write_run(tmp_path / "short", other, errors=FAST, device_name="Another processor")
    part = contents(read(tmp_path), targets=[4.5]).parts[0]
    assert {row[1]: row[5] for row in texts(part.times)}["sgd"] == "5 (other machine, other start)"


def test_remarks_that_are_the_same_of_all_runs_are_shown(tmp_path):
    for name in ("a", "b"):
        folder = write_run(tmp_path / name, settings(), status=None)
        (folder / "config.yaml").write_text("iterations: 9\noptimizer:\n  name: sgd\n")
    table = contents(read(tmp_path)).runs
    assert table.columns[-1] == "remark"
    assert {row[-1].text for row in table.rows} == {"machine not recorded"}


def test_seconds_of_different_machines_are_not_added_up(tmp_path):
    """Four runs of 10 s here and one of 100 s elsewhere; Adam ran elsewhere only."""
    for seed in range(4):
        write_run(tmp_path / f"k{seed}", settings(seed=seed), errors=FAST)
    far = {"errors": FAST, "seconds_per_iteration": 1.0, "device_name": "Another processor"}
    write_run(tmp_path / "far", settings(seed=4), **far)
    write_run(tmp_path / "a", settings("adam"), **far)
    part = contents(read(tmp_path)).parts[0]
    seconds = {row[0]: row[5] for row in texts(part.tuning)}
    assert seconds == {"kfac_tridiag": "40 (n = 4)", "adam": "–"}
    (panel,) = part.seconds.panels
    optimizer = panel.bars[0].lengths
    assert dict(zip(panel.bar_names, optimizer, strict=True)) == {
        "kfac_tridiag": pytest.approx(10),
        "adam (other machine)": pytest.approx(100),
    }


def test_a_machine_that_was_not_recorded_is_not_called_another_one(tmp_path):
    write_run(tmp_path / "a", settings("adam"))
    folder = write_run(tmp_path / "b", settings(), status=None)
    (folder / "config.yaml").write_text("iterations: 9\noptimizer:\n  name: sgd\n")
    table = contents(read(tmp_path)).runs
    assert {row[-1].text for row in table.rows} == {"", "machine not recorded"}


def test_a_killed_run_that_missed_the_target_missed_it_in_seconds_too(tmp_path):
    """Of five runs three were killed, and one that reached the target ran on another machine."""
    for seed in range(5):
        killed = seed < 3
        folder = write_run(
            tmp_path / f"k{seed}",
            settings(seed=seed),
            errors=(30.0, 20.0) if killed else FAST,
            status=None if killed else "finished",
            device_name="Another processor" if seed == 3 else "A processor",
        )
        if killed:
            (folder / "config.yaml").write_text(yaml.safe_dump(nested(settings(seed=seed))))
        write_run(tmp_path / f"a{seed}", settings("adam", seed=seed), errors=SLOW)
    times = {row[1]: row[2:] for row in texts(contents(read(tmp_path), [], [4.5]).parts[0].times)}
    assert times["kfac_tridiag"] == [
        "2 of 5",
        "not reached (50–not reached) (ended earlier)",
        "not reached (5,000–not reached) (ended earlier)",
        "not reached (5–not reached) (ended earlier) (n = 4)",
    ]
    assert times["adam"] == ["5 of 5", "100", "10,000", "10"]


def test_a_run_on_several_machines_is_not_ranked_by_seconds(tmp_path):
    """Whether it reached the target or not, so that its outcome decides nothing."""
    write_two_groups(tmp_path)
    for seed, errors in ((4, FAST), (5, (30.0, 20.0))):
        write_run(
            tmp_path / f"mixed{seed}", settings(seed=seed), errors=errors, mixed_environment=True
        )
    compared = contents(read(tmp_path), targets=[4.5])
    times = {row[1]: row for row in texts(compared.parts[0].times)}
    assert times["kfac_tridiag"][5] == "5 (n = 4)"
    remarks = {row[0].text: row[-1].text for row in compared.runs.rows}
    assert (remarks["mixed4"], remarks["k0"]) == ("several machines", "")
    assert "2 runs on another machine or several" in compared.summary
