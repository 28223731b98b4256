"""Targets, times to them, verdicts, ranking, tuning: on runs made for the purpose."""

import csv
import io
import math

import pytest

from kfac_cli.report.contents import contents
from kfac_cli.report.groups import group_runs
from kfac_cli.report.measures import CASES, ITERATIONS, SECONDS, best_test_error, time_to
from kfac_cli.report.problem import median, problems
from kfac_cli.report.runs import load_runs
from kfac_cli.report.scores import scores
from kfac_cli.report.table import Cell, Table
from kfac_cli.report.targets import automatic_targets, decisive_target, rounded_up
from kfac_cli.report.time_table import headline
from tests.report.folders import settings, write_run

FAST = (20.0, 4.0, 2.0, 1.0)
SLOW = (30.0, 20.0, 9.0, 4.5)


def read(folder):
    runs, complaints = load_runs([folder])
    assert complaints == []
    return runs


def problem_of(folder):
    (problem,) = problems(group_runs(read(folder))[0])
    return problem


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def records(table):
    """The CSV of a table by its columns."""
    return list(csv.DictReader(io.StringIO(table.csv())))


def write_two_groups(folder):
    """K-FAC reaches 4.5 at 50 iterations, Adam at 100, each with four seeds."""
    for seed in range(4):
        fast = [error * (1 + seed / 100) for error in FAST]
        write_run(folder / f"k{seed}", settings(seed=seed), errors=fast)
        write_run(folder / f"a{seed}", settings("adam", seed=seed), errors=SLOW)


@pytest.fixture
def two_groups(tmp_path):
    write_two_groups(tmp_path)
    return tmp_path


def test_the_time_to_a_target_is_that_of_the_first_evaluation_below_it(tmp_path):
    (run,) = read(write_run(tmp_path / "run", errors=(9.0, 5.0, 6.0, 1.0)))
    assert time_to(run, 5.0, ITERATIONS) == 50
    assert time_to(run, 4.9, CASES) == 10_000
    assert time_to(run, 9.0, SECONDS) == pytest.approx(2.5)
    assert time_to(run, 0.5, ITERATIONS) == math.inf


def test_the_average_counts_where_its_training_error_is_smaller(tmp_path):
    folder = write_run(tmp_path / "run", errors=(9.0, 5.0))
    table = folder / "evaluations.csv"
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    rows[1] |= {"train_error_average": "3.0", "test_error_average": "7.5"}
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    table.write_text("\n".join(lines) + "\n")
    (run,) = read(folder)
    assert time_to(run, 4.0, ITERATIONS) == 50
    assert best_test_error(run) == 7.5


def test_an_infinite_value_counts_in_the_median():
    assert median([1, 2, math.inf]) == 2
    assert median([1, math.inf, math.inf]) == math.inf
    assert median([1, math.inf]) == math.inf
    assert median([3, 1, 2, math.nan]) == 2
    assert math.isnan(median([]))


@pytest.mark.parametrize(
    ("value", "up"), [(1.0, 1.0), (1.01, 1.1), (0.0123, 0.013), (99.1, 100), (1234, 1300)]
)
def test_targets_are_rounded_up_to_two_digits(value, up):
    assert rounded_up(value) == up


def test_automatic_targets_reach_from_what_all_reach_to_what_the_best_reaches(two_groups):
    problem = problem_of(two_groups)
    targets = automatic_targets(problem)
    assert targets == (4.5, 2.2, 1.1)
    assert decisive_target(problem, targets) == 1.1
    assert headline(problem, 4.5).startswith(
        "kfac_tridiag reached a training error of 4.5 after 50 iterations, adam after 100"
    )


def test_the_hardest_automatic_target_can_show_a_perfect_separation(tmp_path):
    """Every run of K-FAC ends below every one of Adam, and so reaches the target that decides."""
    for seed in range(4):
        errors = [30.0, 10.0, 4.0 + seed / 10]
        write_run(tmp_path / f"k{seed}", settings(seed=seed), errors=errors)
        errors = [30.0, 12.0, 5.0 + seed / 10]
        write_run(tmp_path / f"a{seed}", settings("adam", seed=seed), errors=errors)
    problem = problem_of(tmp_path)
    assert automatic_targets(problem)[-1] == 4.3
    (verdicts,) = texts(contents(read(tmp_path)).parts[0].verdicts)
    assert verdicts[3] == "kfac_tridiag (p\u00a0=\u00a00.029)"


def test_the_target_that_decides_is_one_that_all_runs_of_a_group_reach(two_groups):
    problem = problem_of(two_groups)
    assert decisive_target(problem, [4.5, 1.025]) == 4.5
    assert decisive_target(problem, [1.025]) == 1.025
    assert decisive_target(problem, [0.5, 0.4]) == 0.5


def test_the_table_of_times_has_median_range_and_misses(two_groups):
    part = contents(read(two_groups), targets=[4.05, 2.0]).parts[0]
    assert [row[:4] for row in texts(part.times)] == [
        ["4.05", "kfac_tridiag", "4 of 4", "62.5 (50–75)"],
        ["4.05", "adam", "0 of 4", "not reached"],
        ["2", "kfac_tridiag", "4 of 4", "100 (75–100)"],
        ["2", "adam", "0 of 4", "not reached"],
    ]
    assert part.times.rows[0][3].look == "best"


def test_the_csv_of_times_has_the_ends_of_the_ranges_too(two_groups):
    (fast, slow) = records(contents(read(two_groups), targets=[4.05]).parts[0].times)
    assert list(fast) == [
        "target", "group", "reached", "iterations", "cases", "optimizer seconds",
        "iterations min", "iterations max", "cases min", "cases max",
        "optimizer seconds min", "optimizer seconds max",
    ]  # fmt: skip
    assert [fast[f"iterations{end}"] for end in ("", " min", " max")] == ["62.5", "50.0", "75.0"]
    assert {slow[f"cases{end}"] for end in ("", " min", " max")} == {"inf"}


def test_the_ends_of_a_range_that_is_not_known_are_empty():
    known, unknown = Cell(2.0, "2 (1–3)", ends=(1.0, 3.0)), Cell(math.nan, "–")
    table = Table("name", "title", ("cases", "group"), ((known, known), (unknown, known)))
    alone = Table("name", "title", ("cases",), ((unknown,),))
    first, second = records(table)
    assert (first["cases min"], first["cases max"]) == ("1.0", "3.0")
    assert second["cases"] == second["cases min"] == second["cases max"] == ""
    assert alone.csv() == 'cases\n""\n'


def test_a_verdict_names_the_better_group_and_its_p_value(two_groups):
    part = contents(read(two_groups), targets=[4.5]).parts[0]
    ((first, second, seeds, *cells),) = texts(part.verdicts)
    assert (first, second, seeds) == ("kfac_tridiag", "adam", "4 + 4")
    assert cells == [
        "kfac_tridiag (p\u00a0=\u00a00.029)",
        "kfac_tridiag (p\u00a0=\u00a00.029)",
        "kfac_tridiag (p\u00a0=\u00a00.029 at 100)",
    ]


def test_the_csv_of_verdicts_names_the_winner_and_what_is_not_known(two_groups):
    write_run(two_groups / "far", settings("nesterov_sgd"), errors=FAST, device_name="Another")
    part = contents(read(two_groups), targets=[4.5]).parts[0]
    rows = {(row["group"], row["and group"]): row for row in records(part.verdicts)}
    decided = rows["kfac_tridiag", "adam"]
    assert decided["iterations to error 4.5"] == "kfac_tridiag (p = 0.029)"
    assert decided["error at the last common iteration"] == "kfac_tridiag (p = 0.029 at 100)"
    open_pair = next(row for pair, row in rows.items() if set(pair) == {"nesterov_sgd", "adam"})
    assert open_pair["optimizer seconds to error 4.5"] == "not comparable"
    assert open_pair["iterations to error 4.5"].startswith("evidence insufficient (p = 0.4")


def test_the_csv_of_times_has_a_remark_where_the_page_has_a_mark(two_groups):
    write_run(two_groups / "far", settings("nesterov_sgd"), errors=FAST, device_name="Another")
    write_run(two_groups / "short", settings("adam", l2=0), errors=(30.0,), status="interrupted")
    part = contents(read(two_groups), targets=[4.5]).parts[0]
    remarks = {row["group"]: row["remark"] for row in records(part.times)}
    assert remarks["nesterov_sgd"] == "optimizer seconds: other machine"
    assert remarks["adam l2=0"].startswith("iterations: ended earlier; cases: ended earlier")
    assert remarks["kfac_tridiag"] == ""


def test_the_csv_of_the_ranking_says_where_a_score_is_a_bound(two_groups):
    write_run(two_groups / "short", settings("nesterov_sgd"), errors=(30.0, 20.0))
    part = contents(read(two_groups), targets=[4.5]).parts[0]
    (cut,) = (row for row in records(part.scores) if row["group"] == "nesterov_sgd")
    assert cut["score by iterations"] == "0.0"
    assert cut["remark"].startswith("score by iterations: at least")


def test_a_diverged_run_counts_as_a_miss_and_as_infinite(tmp_path):
    for seed in range(4):
        write_run(tmp_path / f"k{seed}", settings(seed=seed), errors=FAST)
        write_run(
            tmp_path / f"a{seed}",
            settings("adam", seed=seed),
            errors=FAST[:1],
            status="diverged",
            reason="train_error not finite",
        )
    compared = contents(read(tmp_path), targets=[2.0])
    (verdicts,) = texts(compared.parts[0].verdicts)
    assert verdicts[3:] == ["kfac_tridiag (p\u00a0=\u00a00.029)"] * 2 + [
        "kfac_tridiag (p\u00a0=\u00a00.029 at 100)"
    ]
    ended = [row[3].text for row in compared.runs.rows]
    assert ended.count("diverged: train_error not finite") == 4


def test_runs_on_other_data_are_marked_and_not_ranked(two_groups):
    write_run(two_groups / "other", settings(seed=9), errors=(0.1,), data="b" * 64)
    part = contents(read(two_groups), targets=[4.5]).parts[0]
    row = next(row for row in texts(part.times) if "(other data)" in row[1])
    assert row[1] == "kfac_tridiag data B (other data)"
    assert [group.label for group in part.problem.ranked] == ["kfac_tridiag data A", "adam"]
    assert all("data B" not in cell.text for row in part.scores.rows for cell in row)


def test_the_score_is_that_of_algoperf(two_groups):
    """To 4.5 Adam takes twice K-FAC's time, which leaves (4 - 2) / 3; it never reaches 2.1."""
    problem = problem_of(two_groups)
    assert scores(problem, [4.5, 2.1], ITERATIONS) == {
        "kfac_tridiag": 1.0,
        "adam": pytest.approx((2 / 3 + 0) / 2),
    }


def test_the_ranking_is_shown_for_shorter_budgets(two_groups):
    part = contents(read(two_groups), targets=[4.5]).parts[0]
    assert part.sensitivity.columns == ("group", "4.5 in 25", "4.5 in 50", "4.5 in 100")
    assert texts(part.sensitivity) == [["kfac_tridiag", "–", "1", "1"], ["adam", "–", "–", "2"]]


def test_the_table_of_tuning_counts_trials_and_what_they_cost(tmp_path):
    for number, rate in enumerate((0.1, 0.01, 0.001)):
        given = settings("adam", optimizer__arguments__lr=rate)
        write_run(tmp_path / f"a{number}", given, errors=[20, 10 / rate**0.1])
    write_run(tmp_path / "k", settings(), errors=FAST)
    part = contents(read(tmp_path)).parts[0]
    rows = {row[0]: row[1:] for row in texts(part.tuning)}
    assert rows["adam"][:3] == ["3", "3", "150"]
    assert rows["adam"][5] == "optimizer.arguments.lr"
    assert rows["adam"][7] == "optimizer.arguments.lr=0.1"
    assert rows["kfac_tridiag"][5] == "nothing"
    (panel,) = part.searches.panels
    assert panel.x_label == "optimizer.arguments.lr"
    assert sorted(panel.lines["optimizer.arguments.lr"][0].x) == [0.001, 0.01, 0.1]
    assert panel.x_log


def test_a_setting_chosen_by_the_seeds_that_are_tested_is_said_to_be(tmp_path):
    for seed in range(2):
        for rate in (0.1, 0.2, 0.3):
            own = settings("adam", seed=seed, optimizer__arguments__lr=rate)
            write_run(tmp_path / f"a{rate}{seed}", own, errors=(9.0, 5.0 + rate))
        write_run(tmp_path / f"k{seed}", settings(seed=seed), errors=(9.0, 4.0))
    assert (
        "several groups (adam 3), the best was" in contents(read(tmp_path)).parts[0].verdicts.note
    )


def test_with_one_group_of_each_optimizer_none_was_chosen(two_groups):
    assert "was chosen" not in contents(read(two_groups)).parts[0].verdicts.note


def test_groups_that_diverged_are_last_whatever_their_errors_had_been(tmp_path):
    for rate, status in ((0.1, "finished"), (0.2, "diverged"), (0.3, "finished")):
        own = settings("adam", optimizer__arguments__lr=rate)
        write_run(tmp_path / str(rate), own, errors=(9.0, 5.0 - rate), status=status)
    write_run(tmp_path / "k", settings(), errors=(9.0, 8.0))
    part = contents(read(tmp_path)).parts[0]
    labels = [group.label for group in part.problem.groups]
    assert labels == ["adam lr=0.3", "adam lr=0.1", "kfac_tridiag", "adam lr=0.2"]
    assert min(part.targets) == 4.7
    tuned = {row[0]: row[-1] for row in texts(part.tuning)}
    assert tuned["adam"] == "optimizer.arguments.lr=0.3"


def test_the_table_of_runs_has_the_settings_that_differ_only(tmp_path):
    write_run(tmp_path / "a", settings("adam", optimizer__arguments__lr=0.1))
    write_run(tmp_path / "b", settings("adam"))
    write_run(tmp_path / "c", settings())
    table = contents(read(tmp_path)).runs
    assert table.columns == (
        "run", "group", "seed", "ended", "iterations", "training error", "test error", "cases",
        "seconds", "lr",
    )  # fmt: skip
    assert {row[0].text: row[9].text for row in table.rows} == {"a": "0.1", "b": "0.001", "c": "–"}


def test_a_setting_that_is_called_like_what_was_measured_has_a_column_of_its_own(tmp_path):
    write_run(tmp_path / "a", settings(iterations=100))
    write_run(tmp_path / "b", settings(iterations=200))
    runs = {row["run"]: row for row in records(contents(read(tmp_path)).runs)}
    assert [runs[name]["iterations (setting)"] for name in "ab"] == ["100", "200"]
    assert runs["a"]["iterations"] == runs["b"]["iterations"]


def test_each_dataset_is_a_part_of_its_own(tmp_path):
    write_run(tmp_path / "a", settings())
    write_run(tmp_path / "b", settings(dataset__name="mnist"))
    compared = contents(read(tmp_path))
    assert [part.dataset for part in compared.parts] == ["curves", "mnist"]
    names = [table.name for table in compared.tables] + [each.name for each in compared.figures]
    assert len(set(names)) == len(names)


def test_runs_without_an_evaluation_are_shown_as_what_they_are(tmp_path):
    write_run(tmp_path / "run", errors=(), status="interrupted")
    compared = contents(read(tmp_path))
    assert compared.headlines == ("No run has a finite training error.",)
    assert compared.runs.rows[0][3].text == "interrupted"
    assert compared.parts[0].times.rows == ()


def test_of_many_groups_the_page_shows_the_fastest_and_the_csv_all(tmp_path):
    for number in range(15):
        given = settings("adam", optimizer__arguments__lr=0.1 + number)
        write_run(tmp_path / str(number), given, errors=(9 + number, 4 + number / 10))
    times = contents(read(tmp_path), targets=[10.0, 5.1]).parts[0].times
    assert len(times.rows) == 30
    assert len(times.shown) == 24
    assert times.note.endswith("tables/time-to-target.csv has all.")


def test_each_dataset_is_said_to_be_compared_on_its_own_machine(tmp_path):
    write_run(tmp_path / "a", settings())
    write_run(tmp_path / "b", settings(dataset__name="mnist"), device_name="Another processor")
    assert (
        "Seconds are compared on A processor, 1 thread, torch 2.14.1 (curves); "
        "Another processor, 1 thread, torch 2.14.1 (mnist)"
    ) in contents(read(tmp_path)).summary


def test_long_values_stay_different_in_labels_and_tables(tmp_path):
    start, end = "/results/" + "long/" * 12, "/long" * 12 + "/checkpoint"
    values = [f"{start}{seed}{end}" for seed in range(2)]
    for number, value in enumerate(values):
        write_run(tmp_path / str(number), settings(start_from=value))
    compared = contents(read(tmp_path))
    assert [row["start_from"] for row in records(compared.settings)] == values
    assert [row["start_from"] for row in records(compared.runs)] == values
    assert list(compared.looks) == [f"start_from={value}" for value in values]


def test_the_middle_of_a_long_value_is_left_out_of_a_label(tmp_path):
    values = [f"/results/{'long/' * 12}run-{number}" for number in range(2)]
    for number, value in enumerate(values):
        write_run(tmp_path / str(number), settings(start_from=value))
    assert list(contents(read(tmp_path)).looks) == [
        f"start_from=/results/long/long/long/long/l…ong/run-{number}" for number in range(2)
    ]
