"""Published training curves: what ships with the package, and files of one's own."""

from pathlib import Path

import numpy as np
import pytest

from kfac_cli.errors import UserError
from kfac_cli.report.published_curves import (
    COLUMNS,
    ReferenceCurve,
    load_reference,
    load_references,
    published_names,
)


def one(name: str) -> ReferenceCurve:
    (curve,) = load_reference(name)
    return curve


def iterations_to(curve: ReferenceCurve, nats: float) -> float:
    """Return the first iteration at which the training loss is at most `nats`."""
    reached = -curve.values["train_log_likelihood"] <= nats
    return float(curve.values["iteration"][reached][0])


def test_every_published_curve_can_be_loaded_and_says_where_it_comes_from() -> None:
    assert len(published_names()) == 38
    for name in published_names():
        curve = one(name)
        assert curve.name == name
        assert name.startswith(f"{curve.dataset}_")
        assert curve.method and curve.settings and curve.source and curve.where and curve.differs
        assert set(curve.values) <= set(COLUMNS)
        assert all(np.isfinite(column).all() for column in curve.values.values())
        assert (np.diff(curve.values["cases"]) > 0).all()


def test_no_two_published_curves_are_called_alike() -> None:
    labels = [(one(name).dataset, one(name).label) for name in published_names()]
    assert len(set(labels)) == len(labels)


def test_the_evaluations_of_a_run_can_be_a_reference(tmp_path: Path) -> None:
    path = tmp_path / "evaluations.csv"
    path.write_text("\ufeffiteration,optimizer_seconds,train_error,train_error_best\n5,1,2.5,2\n")
    drawn = one(str(path)).drawn()
    assert list(drawn.columns) == ["iteration", "train_error"]


def test_against_seconds_those_of_the_steps_are_drawn_where_they_are_known(tmp_path: Path) -> None:
    path = tmp_path / "evaluations.csv"
    path.write_text("iteration,seconds,optimizer_seconds,train_error\n5,120,60,2.5\n")
    assert one(str(path)).drawn(seconds=True).columns["optimizer_seconds"].tolist() == [60]
    path.write_text("iteration,seconds,train_error\n5,120,2.5\n")
    assert one(str(path)).drawn(seconds=True).columns["optimizer_seconds"].tolist() == [120]


def test_the_authors_runs_hold_what_their_readers_quote() -> None:
    mnist = one("mnist_kfac_tridiag_martens_grosse").values
    curves = one("curves_kfac_tridiag_martens_grosse").values
    assert dict(zip(mnist["iteration"], mnist["train_error"], strict=True)) == {
        50: 49.08,
        100: 23.5756,
        150: 8.231,
        200: 4.3516,
        250: 2.7494,
        300: 1.979,
    }
    assert curves["train_error"][-1] == 3.2197
    assert mnist["cases"][0] == sum(int(1000 * 60 ** ((k - 1) / 499)) for k in range(1, 51))


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("mnist_kbfgs_m1000", 379),
        ("mnist_tnt_m1000_tnt_repo", 1089),
        ("mnist_shampoo_m1000_tnt_repo", 1940),
        ("mnist_adam_m1000_tnt_repo", 3957),
        ("mnist_sgd-m_m1000_tnt_repo", 6712),
        ("mnist_kfac_m2048_koroko_twolevel", 277),
    ],
)
def test_thinned_curves_cross_64_4_nats_where_the_complete_ones_do(
    name: str, published: float
) -> None:
    # Rows lie at most a tenth apart on the logarithmic grid that they were thinned to.
    assert iterations_to(one(name), 64.4) == pytest.approx(published, rel=0.16)


def test_a_pattern_stands_for_all_names_that_it_matches() -> None:
    names = [curve.name for curve in load_reference("mnist_*_tnt_repo")]
    assert names == sorted(names)
    assert len(names) == 5


def test_a_file_of_ones_own_needs_the_same_columns(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("iteration,train_error,seconds\n1,5.5,0.1\n20,,0.9\n")
    curve = one(str(path))
    assert (curve.name, curve.dataset, curve.label) == ("mine", None, "mine")
    np.testing.assert_array_equal(curve.values["train_error"], [5.5, np.nan])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it has nothing"),
        ("epoch,train_error\n1,2\n", "it has epoch"),
        ("iteration,train_eror\n1,2\n", "it has train_eror"),
        ("iteration,train_error\n1\n", "line 2 has 1 values, not 2"),
        ("iteration,train_error\n1,five\n", "could not convert string to float: 'five'"),
        ("iteration,train_error\n2,5\n1,6\n", "iterations must increase"),
        ("iteration,train_error\n", "iterations must increase"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=says) as refused:
        load_reference(str(path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mnist_kbfgs_m100", r"did you mean mnist_kbfgs_m1000\?"),
        ("imagenet_*", "no published curve has this name"),
        ("absent.csv", "No such file or directory"),
        ("~nosuchuser/x.csv", "--reference ~nosuchuser/x.csv: there is no such home folder"),
    ],
)
def test_a_name_that_stands_for_nothing_is_refused(name: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        load_reference(name)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UserError, match="is not text in UTF-8"):
        load_reference(str(path))


def test_files_of_the_same_name_are_called_by_their_folders_too(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "evaluations.csv").write_text("iteration,train_error\n1,5\n")
    (tmp_path / "mine.csv").write_text("iteration,train_error\n1,5\n")
    files = [str(tmp_path / name) for name in ("a/evaluations.csv", "b/evaluations.csv")]
    curves = load_references([*files, str(tmp_path / "mine.csv"), files[0]])
    assert [curve.label for curve in curves] == ["a/evaluations", "b/evaluations", "mine"]


def test_the_average_is_drawn_where_its_training_error_is_smaller(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "iteration,train_error,train_error_average,test_error,test_error_average\n"
        "1,9,12,10,13\n2,8,5,9,6\n3,7,,8,\n"
    )
    columns = one(str(path)).drawn().columns
    np.testing.assert_array_equal(columns["train_error"], [9, 5, 7])
    np.testing.assert_array_equal(columns["test_error"], [10, 6, 8])


def test_a_file_in_the_home_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.csv").write_text("iteration,train_error\n1,5\n")
    assert one("~/mine.csv").label == "mine"
