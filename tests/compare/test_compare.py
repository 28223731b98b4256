"""What the comparison finds and what it lets be."""

import subprocess

import pytest
import torch

from . import differences as module
from .bad_lines import bad_lines
from .differences import differences, tensor_differences
from .report import Pair, run_differences
from .runs import runs_for
from .tree import ROOT, Answer, Tree

GOOD, BAD = Answer(0, "", ""), Answer(1, "", "kfac-run: error: no")

HEADER = "iteration,objective,outcome,seconds"
ROWS = ["1,0.5,accepted,0.1", "2,nan,rejected,0.2", "3,0.25,accepted,0.3"]
NAN, ONE = float("nan"), 1.0


def write_run(folder, rows=ROWS, header=HEADER, parameters=((ONE, NAN), (2.0, -3.0))):
    """A run of two layers."""
    folder.mkdir(parents=True)
    for name in ("metrics.csv", "evaluations.csv"):
        (folder / name).write_text("\n".join([header, *rows]) + "\n")
    tensors = [torch.tensor([values]) for values in parameters]
    contents = {"parameters": tensors, "average": tensors[:1], "iteration": 3}
    torch.save(contents, folder / "parameters.pt")
    return folder


@pytest.fixture
def folders(tmp_path):
    return {"old": tmp_path / "old", "new": tmp_path / "new"}


@pytest.fixture
def old(folders):
    return write_run(folders["old"] / "rejections/run")


@pytest.fixture
def changed(folders):
    return lambda **changes: write_run(folders["new"] / "rejections/run", **changes)


def test_equal_runs_do_not_differ_whatever_their_times_and_nan_equals_nan(old, changed):
    rows = ["1,0.5,accepted,7", "2,nan,rejected,8", "3,0.25,accepted,9"]
    assert differences(old, changed(rows=rows)) == []


def test_the_first_value_that_differs_is_named_in_each_table(old, changed):
    rows = ["1,0.5,accepted,0.1", "2,nan,reverted,0.2", "3,0.5,accepted,0.3"]
    line = "row 2, outcome: 'rejected' became 'reverted' (the first of 2 values)"
    assert differences(old, changed(rows=rows)) == [
        f"metrics.csv: {line}",
        f"evaluations.csv: {line}",
    ]


def test_a_row_that_only_one_table_has_is_found(old, changed):
    assert "metrics.csv: 3 rows became 2" in differences(old, changed(rows=ROWS[:2]))


def test_a_renamed_column_is_the_same_one_only_where_the_renaming_is_known(
    old, changed, monkeypatch
):
    new = changed(header="iteration,loss,outcome,seconds")
    assert differences(old, new)[:2] == [
        "metrics.csv: only the old table has the column objective",
        "metrics.csv: only the new table has the column loss",
    ]
    monkeypatch.setitem(module.RENAMED_COLUMNS, "objective", "loss")
    assert differences(old, new) == []


OLD_HEADER = "iteration,objective,rejected,seconds"


def test_a_renamed_column_may_hold_other_words_for_the_same(folders, changed):
    rows = ["1,0.5,,0.1", "2,nan,1,0.2", "3,0.25,,0.3"]
    old = write_run(folders["old"] / "rejections/run", rows, OLD_HEADER)
    assert differences(old, changed()) == []


def test_another_value_in_such_a_column_is_found(folders, changed):
    rows = ["1,0.5,1,0.1", "2,nan,1,0.2", "3,0.25,,0.3"]
    old = write_run(folders["old"] / "rejections/run", rows, OLD_HEADER)
    assert differences(old, changed())[0] == "metrics.csv: row 1, outcome: '1' became ''"


def test_only_columns_that_are_known_to_be_added_may_be_missing_from_the_old_table(old, changed):
    rows = [f"{row},-0.5" for row in ROWS]
    new = changed(rows=rows, header=f"{HEADER},model_change")
    line = "evaluations.csv: only the new table has the column model_change"
    assert differences(old, new) == [line]
    assert differences(new, old)[0] == "metrics.csv: only the old table has the column model_change"


@pytest.mark.parametrize("name", ["metrics.csv", "evaluations.csv", "parameters.pt"])
def test_a_missing_file_is_found_even_where_both_lack_it(old, changed, name):
    new = changed()
    (new / name).unlink()
    assert differences(old, new) == [f"{name}: missing from the new run"]
    (old / name).unlink()
    assert differences(old, new) == [f"{name}: missing from the old and the new run"]


def test_a_changed_last_bit_is_found_in_its_tensor(old, changed):
    next_float = torch.nextafter(torch.tensor(2.0), torch.tensor(3.0)).item()
    new = changed(parameters=((ONE, NAN), (next_float, -3.0)))
    line = "parameters.pt: parameters[1]: largest difference 2.38e-07, in 1 of 2 values"
    assert differences(old, new) == [line]


ZERO = torch.zeros(2)


@pytest.mark.parametrize(
    ("tensor", "line"),
    [
        (-ZERO, "differs in the sign of a zero or the bits of a NaN only"),
        (ZERO.double(), "dtype torch.float32 became torch.float64"),
        (torch.zeros(1, 2), "shape (2,) became (1, 2)"),
    ],
    ids=["sign of zero", "dtype", "shape"],
)
def test_a_tensor_is_compared_to_the_last_bit_with_its_dtype_and_shape(tmp_path, tensor, line):
    paths = tmp_path / "old.pt", tmp_path / "new.pt"
    for path, saved in zip(paths, (ZERO, tensor), strict=True):
        torch.save({"parameters": [saved], "average": [ZERO]}, path)
    assert list(tensor_differences(*paths)) == [f"parameters[0]: {line}"]


def test_a_layer_that_only_one_file_has_is_found(old, changed):
    new = changed(parameters=((ONE, NAN),))
    assert differences(old, new) == ["parameters.pt: parameters[1]: only in the old file"]


@pytest.mark.parametrize("failing", [[], ["new"], ["old", "new"]])
def test_a_run_that_fails_is_reported_even_where_both_do(old, changed, folders, failing):
    changed()
    answers = {tree: {"rejections": [BAD if tree in failing else GOOD]} for tree in ("old", "new")}
    assert list(run_differences(folders, answers)) == [
        f"rejections: the {tree} run fails, 1: kfac-run: error: no" for tree in failing
    ]


def test_a_run_for_rejections_without_one_has_lost_its_point(folders):
    for folder in folders.values():
        write_run(folder / "rejections/run", rows=["1,0.5,accepted,0.1"])
    answers = {tree: {"rejections": [GOOD]} for tree in ("old", "new")}
    assert list(run_differences(folders, answers)) == [
        "rejections: no step was rejected, which is what this run is for"
    ]


@pytest.mark.parametrize(
    ("new", "other_code", "other_message"),
    [
        (BAD, False, False),
        (Answer(1, "", "kfac-run: error: never"), False, True),
        (Answer("starts a run", "", "kfac-run: error: no"), True, False),
    ],
    ids=["equal", "another message", "another ending"],
)
def test_another_ending_of_a_command_line_is_more_than_another_message(
    new, other_code, other_message
):
    pair = Pair(["seed=-1"], BAD, new)
    assert (pair.other_code, pair.other_message) == (other_code, other_message)
    assert str(pair).splitlines()[:2] == ["seed=-1", "    old 1: kfac-run: error: no"]


@pytest.mark.parametrize("sets_sizes", [True, False])
def test_sizes_are_unset_only_where_smoke_sets_them(tmp_path, sets_sizes):
    smoke = tmp_path / "experiment/smoke.yaml"
    smoke.parent.mkdir()
    smoke.write_text("schedule:\n  full_at: 10\n" if sets_sizes else "iterations: 10\n")
    (words,) = runs_for(tmp_path)["kfac_diag_fixed"]
    assert ("~schedule.full_at" in words) == sets_sizes
    assert "schedule.size=100" in words


def test_the_wrong_command_lines_are_the_same_each_time():
    lines = bad_lines()
    assert lines == bad_lines()
    assert ["iterations=0"] in lines


@pytest.fixture
def tree(tmp_path):
    return Tree(ROOT, tmp_path / "tree")


def test_a_tree_has_its_own_command_and_settings_and_starts_no_run_unless_it_may(tree):
    settings, command = tree.package / "conf/config.yaml", tree.package / "__main__.py"
    settings.write_text(settings.read_text().replace("iterations: 500", "iterations: 321"))
    with command.open("a") as file:
        file.write("\n\ntrue_main = main\n\n\ndef main():\n    print('of this tree')\n")
        file.write("    return true_main()\n")
    tasks = {"shown": [["--cfg", "job"]], "refused": [["iterations=0"]], "run": [["seed=1"]]}
    answers = tree.call("lines", tasks, train=False)
    assert "of this tree\niterations: 321\n" in answers["shown"][0].out
    codes = {name: [answer.code for answer in task] for name, task in answers.items()}
    assert codes == {"shown": [0], "refused": [1], "run": ["starts a run"]}


def test_a_module_that_a_tree_lacks_is_not_taken_from_the_working_tree(tree, capfd):
    (tree.package / "__main__.py").unlink()
    with pytest.raises(subprocess.CalledProcessError):
        tree.call("lines", {"version": [["--version"]]}, train=False)
    assert "No module named 'kfac_cli.__main__'" in capfd.readouterr().err
