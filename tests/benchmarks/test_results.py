"""`make results`: a section of docs/results.md and a table from the folder of a study."""

import json
import math
import sys

import pytest

from benchmarks.results import SECTIONS, main, picture, write
from benchmarks.results_curves import KEPT, common_seconds, curves
from benchmarks.results_ratios import ratios, ratios_table
from benchmarks.results_section import ITERATIONS_TO, RATIOS
from kfac_cli.errors import UserError

ROWS = [
    # method, seed, iteration, seconds, error
    ("tridiagonal", 0, 10, 1.0, 12.0),
    ("tridiagonal", 0, 20, 2.0, 4.0),
    ("tridiagonal", 1, 10, 1.5, 11.0),
    ("tridiagonal", 1, 20, 2.5, 2.5),
    ("adam", 0, 100, 1.0, 30.0),
    ("adam", 0, 200, 3.0, 9.0),
]
MEDIAN = "seconds of the baseline over those of K-FAC, median"
FINDINGS = {
    "command": "kfac-paper compare scale=full problems=curves output=/elsewhere/curves",
    "environment": {"device_name": "a CPU", "thread_count": 2, "python": "3.12", "torch": "2.9"},
    "findings": [
        {
            "statement": "curves: K-FAC is faster",
            "source": "figure 10",
            "verdict": "confirmed",
            "numbers": {MEDIAN: 2.25, MEDIAN.replace("median", "range"): "1.5 to 3", "seeds": 2},
            "n": 6,
            "note": "Paper: faster. Confirmed if the median is above 1.",
        },
        {
            "statement": "curves: K-FAC is elsewhere",
            "source": "figure 11",
            "verdict": "not measured",
            "numbers": {},
            "n": 0,
            "note": "",
        },
    ],
}


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    lines = [
        "problem,method,seed,iteration,cases,optimizer_seconds,train_error,train_error_average"
    ]
    lines += [f"curves,{m},{s},{k},{k * 10},{t},{e}" for m, s, k, t, e in ROWS]
    (folder / "error.csv").write_text("\n".join(lines))
    (folder / "findings.json").write_text(json.dumps(FINDINGS))
    return folder


@pytest.fixture
def written(study, tmp_path):
    document = tmp_path / "results.md"
    write(SECTIONS[0], study, document, tmp_path / "results")
    return document.read_text()


def test_seconds_of_several_machines_make_no_section(study, tmp_path):
    mixed = {**FINDINGS, "environment": {**FINDINGS["environment"], "device_name": ["a", "b"]}}
    (study / "findings.json").write_text(json.dumps(mixed))
    with pytest.raises(UserError, match="has runs with device_name a and b"):
        write(SECTIONS[0], study, tmp_path / "results.md", tmp_path / "results")


def test_a_section_has_the_runs_on_its_problem_alone(study, tmp_path):
    with (study / "error.csv").open("a") as file:
        file.write("\nmnist,tridiagonal,0,10,100,1,1e-9,")
    foreign = {**FINDINGS["findings"][0], "statement": "mnist: K-FAC is fastest"}
    found = {**FINDINGS, "findings": [*FINDINGS["findings"], foreign]}
    (study / "findings.json").write_text(json.dumps(found))
    write(SECTIONS[0], study, tmp_path / "results.md", tmp_path / "results")
    section = (tmp_path / "results.md").read_text()
    assert "K-FAC is faster" in section
    assert "1.00e-09" not in section and "K-FAC is fastest" not in section
    assert "mnist" not in (tmp_path / "results/curves.csv").read_text()


def test_a_folder_made_elsewhere_is_for_one_section(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["results", "--folder", "elsewhere"])
    with pytest.raises(SystemExit):
        main()
    assert "--folder: name the one section that it is for" in capsys.readouterr().err


def test_the_table_has_medians_and_ranges_over_the_seeds(written):
    row = "| tridiagonal | 2 | 20 | 2.50 (2.00–2.50) | 1.56 (1.17–1.56) | 2.03 (1.80–2.03) |"
    assert f"{row} missed | missed | missed | 5.24 (4.00–5.24) |" in written
    row = "| adam | 1 | 200 | 3.00 | 2.82 |"
    assert f"{row} missed | missed | missed | missed | 16.4 |" in written


def test_another_table_has_iterations_as_in_figure_11(written):
    table = written.partition(ITERATIONS_TO)[2].partition(RATIOS)[0]
    targets = " | ".join(f"to {error:g}" for error in SECTIONS[0].targets)
    assert f"| method | {targets} |" in table
    assert "| tridiagonal | 11.7 (10.6–11.7) | 18.0 (15.3–18.0) | missed |" in table
    assert "| adam | 191 | missed |" in table


def test_findings_that_were_measured_stand_below_it_and_the_command_without_its_folder(written):
    assert (
        "- confirmed: K-FAC is faster (figure 10): seconds of the baseline over those of K-FAC "
        "2.25 (range 1.5 to 3); n = 6 (errors and seeds). Paper: faster. Confirmed if the median "
        "is above 1." in written
    )
    assert "K-FAC is elsewhere" not in written
    assert "`kfac-paper compare scale=full problems=curves` on a CPU, 2 threads" in written


@pytest.mark.usefixtures("pictures")
def test_what_the_picture_is_drawn_from_is_kept(written, tmp_path):
    picture(tmp_path / "results", tmp_path)
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert "K-FAC, block-tridiagonal" in (tmp_path / "comparison.svg").read_text()
    header = (tmp_path / "results" / "curves.csv").read_text().splitlines()[0]
    assert header == ",".join(KEPT)


def test_a_run_that_learns_nothing_never_gets_there():
    rows = halving("ekfac", 0, 10, 1000, 1.0)
    stuck = [{**row, "method": "adam", "train_error": "16.7"} for row in rows]
    runs = curves(rows + stuck)
    assert list(ratios(runs, "ekfac", "adam", "seconds")) == [math.inf] * 6
    assert ratios_table(runs, ("ekfac",), ("adam",)).endswith("| ekfac | never, never, never |")
    rows += halving("ekfac", 1, 10, 1000, 1.0)
    two = curves(rows + stuck + halving("adam", 1, 80, 500, 3.0))
    table = ratios_table(two, ("ekfac",), ("adam",))
    assert table.endswith("| ekfac | 8.00 to never, 0.500 to never, 3.00 to never |")


def test_a_finding_whose_median_is_infinite_says_never(study, tmp_path):
    found = json.loads((study / "findings.json").read_text())
    found["findings"][0]["numbers"][MEDIAN] = "never"
    (study / "findings.json").write_text(json.dumps(found))
    write(SECTIONS[0], study, tmp_path / "results.md", tmp_path / "results")
    assert "those of K-FAC never (range 1.5 to 3)" in (tmp_path / "results.md").read_text()


def test_the_smaller_of_iterate_and_average_counts():
    row = {"method": "adam", "seed": "0", "train_error": "4"}
    averages = ("3", "5", "")
    rows = [{**row, "iteration": "1", "train_error_average": average} for average in averages]
    assert curves(rows)[0].errors.tolist() == [3, 4, 4]


def test_the_lowest_error_within_a_time_is_interpolated_as_the_time_to_an_error_is():
    [run] = curves(halving("ekfac", 0, 10, 1000, 1.0))
    assert run.best_within(3) == pytest.approx(16)
    assert run.best_within(3.5) == pytest.approx(16 / 2**0.5)
    assert run.first(run.best_within(3.5)) == pytest.approx(3.5)
    assert run.best_within(100) == 2
    assert math.isnan(run.best_within(0.5))


def test_the_lowest_error_stays_where_a_run_gets_worse_or_diverges():
    rows = halving("ekfac", 0, 10, 1000, 1.0)[:3]
    for error in ("100", "inf", "nan"):
        [run] = curves([*rows, {**rows[-1], "optimizer_seconds": "4", "train_error": error}])
        assert run.best_within(3.5) == run.best_within(9) == 16


def test_a_run_that_diverged_does_not_end_the_time_in_which_the_others_are_compared():
    whole, shorter = halving("ekfac", 0, 10, 1000, 1.0), halving("adam", 0, 10, 1000, 0.9)
    diverged = halving("sgd", 0, 10, 1000, 0.1)
    diverged[-1]["train_error"] = "nan"
    assert common_seconds(curves([*whole, *shorter, *diverged])) == pytest.approx(5.4)
    assert common_seconds(curves(diverged)) == pytest.approx(0.6)


def test_a_curve_holds_one_run():
    row = {"method": "adam", "seed": "3", "iteration": "20.0"}
    [curve] = curves([{**row, "optimizer_seconds": "1.5", "train_error": "4"}])
    assert (curve.method, curve.seed, curve.errors.tolist()) == ("adam", 3, [4])
    assert curve.first(5) == 1.5 and curve.first(3) == float("inf")
    assert curve.first(5, "iterations") == 20 and math.isnan(curve.first(5, "cases"))


def halving(method, seed, iterations, cases, seconds):
    """A run whose error is halved by so many iterations, cases and seconds, 64 to 2."""
    return [
        {
            "method": method,
            "seed": str(seed),
            "iteration": str(k * iterations),
            "cases": "" if cases is None else str(k * cases),
            "optimizer_seconds": str(k * seconds),
            "train_error": str(64 / 2 ** (k - 1)),
        }
        for k in range(1, 7)
    ]


def test_ratios_say_how_many_times_as_much_a_first_order_method_takes():
    rows = halving("ekfac", 0, 10, 1000, 1.0) + halving("ekfac", 1, 10, 1000, 1.0)
    rows += halving("adam", 1, 80, 500, 3.0) + halving("muon", 2, 80, 500, 3.0)
    runs = curves(rows)
    assert list(ratios(runs, "ekfac", "adam", "iterations")) == pytest.approx([8] * 6)
    assert list(ratios(runs, "ekfac", "muon", "iterations")) == []  # no seed in common
    assert ratios_table(runs, ("tridiagonal", "ekfac"), ("adam", "muon")).splitlines() == [
        "|  | adam | muon |",
        "| --- | --- | --- |",
        "| ekfac | 8.00, 0.500, 3.00 | –, –, – |",
    ]
    assert ratios_table(runs, ("tridiagonal",), ("adam",)) == ""


def test_ratios_of_costs_that_were_not_recorded_are_left_out():
    runs = curves(halving("ekfac", 0, 10, None, 1.0) + halving("adam", 0, 80, 500, 3.0))
    table = ratios_table(runs, ("ekfac",), ("adam",))
    assert table.endswith("| ekfac | 8.00, –, 3.00 |")


def test_a_section_has_its_ratios(written):
    header = "|  | adam | tridiagonal |\n| --- | --- | --- |\n| tridiagonal | "
    assert f"{RATIOS}\n\n{header}" in written


def test_two_inverses_of_kfac_are_compared_too_and_none_with_itself():
    rows = halving("tridiagonal", 0, 10, 1000, 3.0) + halving("ekfac", 0, 20, 3000, 1.5)
    kinds = ("tridiagonal", "ekfac")
    assert ratios_table(curves(rows), kinds, kinds).splitlines()[2:] == [
        "| tridiagonal |  | 2.00, 3.00, 0.500 |",
        "| ekfac | 0.500, 0.333, 2.00 |  |",
    ]
    assert ratios_table(curves(rows), kinds, kinds[:1]).splitlines()[2] == "| tridiagonal |  |"
    assert ratios_table(curves(rows[:6]), kinds, kinds) == ""
