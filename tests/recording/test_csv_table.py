"""The CSV tables: complete after every row, exact, and resumable after a crash."""

import math
import os
from pathlib import Path

import pytest
import torch

from kfac_cli.recording import csv_table
from kfac_cli.recording.csv_table import Table, read_table
from kfac_cli.recording.metrics import METRIC_COLUMNS

COLUMNS = ("iteration", "error", "lambda")


def filled(path, rows):
    with Table(path, COLUMNS) as table:
        for row in rows:
            table.append(row)
    return path


def test_a_new_table_has_its_header_at_once(tmp_path):
    table = Table(tmp_path / "t.csv", METRIC_COLUMNS)
    assert (tmp_path / "t.csv").read_text() == ",".join(METRIC_COLUMNS) + "\n"
    table.close()


def test_each_row_is_on_disk_before_the_next_and_missing_values_are_empty(tmp_path):
    path = tmp_path / "t.csv"
    with Table(path, COLUMNS) as table:
        table.append({"iteration": 1, "error": 0.5})
        assert path.read_text().splitlines()[1:] == ["1,0.5,"]
        table.append({"iteration": 2, "error": None, "lambda": 1e-132})
        assert path.read_text().splitlines()[1:] == ["1,0.5,", "2,,1e-132"]


@pytest.mark.parametrize(
    "value", [0.1, 1 / 3, 1e-132, 5e-324, 1.7976931348623157e308, -0.0, 150.0, 123456789012345]
)
def test_numbers_read_back_exactly(tmp_path, value):
    path = filled(tmp_path / "t.csv", [{"iteration": 1, "error": value}])
    (row,) = read_table(path)
    assert row == {"iteration": 1, "error": value, "lambda": None}
    assert type(row["error"]) is type(value)
    assert math.copysign(1, row["error"]) == math.copysign(1, value)


def test_values_that_are_not_finite_read_back(tmp_path):
    path = filled(tmp_path / "t.csv", [{"iteration": 1, "error": math.nan, "lambda": math.inf}])
    (row,) = read_table(path)
    assert math.isnan(row["error"])
    assert row["lambda"] == math.inf


def test_scalars_of_torch_and_numpy_are_written_with_all_their_digits(tmp_path):
    third = torch.tensor(1 / 3, dtype=torch.float32)
    path = filled(tmp_path / "t.csv", [{"iteration": 1, "error": third, "lambda": third.numpy()}])
    (row,) = read_table(path)
    assert row["error"] == row["lambda"] == third.item()


def test_an_unknown_column_is_refused_by_name(tmp_path):
    with Table(tmp_path / "t.csv", COLUMNS) as table:
        with pytest.raises(ValueError, match="has no column 'eror'"):
            table.append({"iteration": 1, "eror": 2.0})
        with pytest.raises(ValueError, match="not 'low'"):
            table.append({"iteration": 1, "error": "low"})


def test_a_resumed_table_equals_an_uninterrupted_one(tmp_path):
    rows = [{"iteration": k, "error": 1 / k, "lambda": None if k % 2 else 0.1} for k in range(1, 9)]
    uninterrupted = filled(tmp_path / "a.csv", rows).read_bytes()
    path = filled(tmp_path / "b.csv", rows[:6])
    with path.open("a") as file:
        file.write("7,0.14")  # killed while writing a row

    with Table(path, COLUMNS, keep_until=4) as table:
        assert [row["iteration"] for row in read_table(path)] == [1, 2, 3, 4]
        for row in rows[4:]:
            table.append(row)

    assert path.read_bytes() == uninterrupted
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.csv", "b.csv"]


@pytest.mark.parametrize("text", ["", "iteration,err"])
def test_a_table_with_an_incomplete_header_is_started_again(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    Table(path, COLUMNS, keep_until=0).close()
    assert path.read_text() == "iteration,error,lambda\n"


def test_a_missing_table_to_resume_is_created(tmp_path):
    Table(tmp_path / "t.csv", COLUMNS, keep_until=5).close()
    assert (tmp_path / "t.csv").read_text() == "iteration,error,lambda\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("iteration,loss\n1,2.0\n", "has the header 'iteration,loss'"),
        ("iteration,error,lambda\n1,2.0,\nx2,1.0,\n", "line 3 is damaged: 'x2,1.0,'"),
        ("iteration,error,lambda\n1,2.0\n2,1.0,\n", "line 2 is damaged: '1,2.0'"),
    ],
)
def test_a_damaged_table_is_not_resumed_and_not_changed(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        Table(path, COLUMNS, keep_until=5)
    assert path.read_text() == text


def test_without_keep_until_an_old_table_is_replaced(tmp_path):
    path = filled(tmp_path / "t.csv", [{"iteration": 1}])
    Table(path, COLUMNS).close()
    assert read_table(path) == []


def test_a_row_that_cannot_be_written_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    full = Path("/dev/full").open("a")  # noqa: SIM115
    monkeypatch.setattr(csv_table, "open_for_appending", lambda path: full)
    table = Table(path, COLUMNS)
    with pytest.raises(OSError, match="No space left") as caught:
        table.append({"iteration": 1})
    assert caught.value.filename == str(path)


@pytest.mark.parametrize("keep_until", [None, 1])
def test_a_hard_link_elsewhere_stays_as_it_is(tmp_path, keep_until):
    victim = filled(tmp_path / "victim.csv", [{"iteration": 1}])
    before = victim.read_bytes()
    os.link(victim, tmp_path / "t.csv")
    with Table(tmp_path / "t.csv", COLUMNS, keep_until=keep_until) as table:
        table.append({"iteration": 2})
    assert victim.read_bytes() == before
    assert read_table(tmp_path / "t.csv")[-1]["iteration"] == 2


def test_synced_rows_are_on_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    with Table(tmp_path / "t.csv", COLUMNS) as table:
        table.append({"iteration": 1})
        table.sync()
    assert synced[-1] == (tmp_path / "t.csv").stat().st_size


WITH_WORDS = ("iteration", "outcome")


def test_a_word_is_written_and_read_back_and_continued(tmp_path):
    path = tmp_path / "t.csv"
    with Table(path, WITH_WORDS) as table:
        table.append({"iteration": 1, "outcome": "accepted"})
        table.append({"iteration": 2, "outcome": "reverted"})
        table.append({"iteration": 3})
    Table(path, WITH_WORDS, keep_until=3).close()
    assert [row["outcome"] for row in read_table(path)] == ["accepted", "reverted", None]


@pytest.mark.parametrize("value", ["maybe", 1, ""])
def test_another_word_is_neither_written_nor_read(tmp_path, value):
    path = tmp_path / "t.csv"
    with (
        Table(path, WITH_WORDS) as table,
        pytest.raises(ValueError, match="outcome holds accepted, rejected, reverted, not"),
    ):
        table.append({"iteration": 1, "outcome": value})
    path.write_text("iteration,outcome\n1,maybe\n")
    with pytest.raises(ValueError, match="outcome does not hold 'maybe'"):
        read_table(path)
    with pytest.raises(ValueError, match="line 2 is damaged"):
        Table(path, WITH_WORDS, keep_until=1)
