"""Verdicts follow from numbers by the rule beside each statement, and can come out either way."""

import math
from dataclasses import replace

import numpy as np
import pytest

from kfac_cli.paper.batch_size.statements import STATEMENTS
from kfac_cli.paper.compare import findings as compare
from kfac_cli.paper.options import statements as options
from kfac_cli.paper.statement import Statement
from kfac_cli.paper.study import Verdict

from .made_up import made_up

ABOVE_TWO = Statement(
    "it grows", "section 1", "ratio", "about 2", "the median is above 2", lambda x: x > 2
)

COMPARISONS = [*compare.COMPARISONS, *options.COMPARISONS]

EVERY = (5, 25, 30, 35, 2500)
"""Of the run that is compared with one of 25: ratios of 0.2, 1, 1.2, 1.4 and 100."""


def of_statement(statement):
    """The comparison that decides it."""
    [comparison] = [each for each in COMPARISONS if each.statement == statement]
    return comparison


def test_the_median_decides_and_the_finding_says_by_which_rule():
    finding = ABOVE_TWO.finding([1, 3, 9], "curves", {"seeds": 1}, "A note.")
    assert finding.verdict is Verdict.CONFIRMED
    assert finding.statement == "curves: it grows"
    assert finding.numbers == {"ratio, median": 3, "ratio, range": "1 to 9", "seeds": 1}
    assert finding.n == 3
    assert finding.note == "Paper: about 2. Confirmed if the median is above 2. A note."
    assert ABOVE_TWO.finding([1, 2, 9]).verdict is Verdict.NOT_CONFIRMED


@pytest.mark.parametrize("values", [[], [math.nan]])
def test_without_a_value_nothing_is_measured(values):
    finding = ABOVE_TWO.finding(values)
    assert (finding.verdict, finding.n) == (Verdict.NOT_MEASURED, 0)


def test_a_miss_is_infinite_in_the_median_and_a_word_in_the_finding(tmp_path):
    finding = ABOVE_TWO.finding([1, 3, math.inf])
    assert finding.numbers == {"ratio, median": 3, "ratio, range": "1 to never"}
    finding = ABOVE_TWO.finding([1, math.inf, math.inf])
    assert (finding.verdict, finding.n) == (Verdict.CONFIRMED, 3)
    assert finding.numbers == {"ratio, median": "never", "ratio, range": "1 to never"}


def test_a_median_between_a_finite_value_and_a_miss_needs_the_rule_for_both():
    finding = ABOVE_TWO.finding([0, 0, math.inf, math.inf])
    assert finding.verdict is Verdict.NOT_CONFIRMED
    assert finding.numbers["ratio, median"] == "0 to never"
    finding = ABOVE_TWO.finding([0, 3, math.inf, math.inf])
    assert finding.verdict is Verdict.CONFIRMED
    assert finding.numbers["ratio, median"] == "3 to never"


def test_seeds_of_which_one_run_never_gets_there_decide_and_are_counted(tmp_path):
    comparison = of_statement(compare.MORE_PER_ITERATION)
    own, stuck = made_up(tmp_path / "own"), made_up(tmp_path / "stuck", errors=(16.7, 16.7))
    slower = made_up(tmp_path / "slower", 30)
    method, other = comparison.method, comparison.other
    finding = comparison.finding("curves", {method: [own] * 3, other: [stuck, stuck, slower]})
    assert (finding.verdict, finding.n) == (Verdict.CONFIRMED, 18)
    quantity = comparison.statement.quantity
    assert finding.numbers == {
        f"{quantity}, median": "never",
        f"{quantity}, range": "1.2 to never",
        "seeds": 3,
        f"seeds of which {other} never reaches an error of {method}": 2,
        f"lowest errors of {method} and {other}": "1 and 16.7",
        f"iterations of {method} and {other} to error 1": "100 and never",
    }
    finding = comparison.finding("curves", {method: [stuck, stuck], other: [own, stuck]})
    assert (finding.verdict, finding.n) == (Verdict.NOT_CONFIRMED, 6)
    assert finding.numbers["seeds"] == 1
    assert finding.numbers[f"seeds of which {method} never reaches an error of {other}"] == 1
    assert finding.numbers["seeds whose runs have no errors to compare"] == 1


def test_seconds_of_different_machines_are_not_compared_and_iterations_are(tmp_path):
    own, other = made_up(tmp_path / "own"), made_up(tmp_path / "other", 50)
    moved = replace(other, environment=replace(other.environment, device_name="another"))
    iterations, seconds = map(of_statement, (compare.MORE_PER_ITERATION, compare.FASTER_PER_SECOND))
    runs = {seconds.method: [own, own], seconds.other: [other, moved]}
    assert iterations.finding("curves", runs).n == 12
    finding = seconds.finding("curves", runs)
    assert (finding.n, finding.numbers["seeds"]) == (6, 1)
    assert "Left out: 1 seed with runs on different or several machines" in finding.note
    finding = seconds.finding("curves", {seconds.method: [own], seconds.other: [moved]})
    assert finding.verdict is Verdict.NOT_MEASURED
    assert "Left out: 1 seed" in finding.note


def test_seconds_of_runs_that_were_on_several_machines_are_not_compared(tmp_path):
    """Nothing says on which one how much of the time was spent."""
    seconds = of_statement(compare.FASTER_PER_SECOND)
    own, other = (
        replace(run, environment=replace(run.environment, mixed=True))
        for run in (made_up(tmp_path / "own"), made_up(tmp_path / "other", 50))
    )
    finding = seconds.finding("curves", {seconds.method: [own], seconds.other: [other]})
    assert finding.verdict is Verdict.NOT_MEASURED
    runs = {options.WHOLE: [own], options.SUBSETS: [other]}
    [times, _] = options.other_findings("curves", runs)
    assert times.verdict is Verdict.NOT_MEASURED
    assert "Left out: 1 seed" in times.note


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """A run for each of `EVERY`."""
    folder = tmp_path_factory.mktemp("others")
    return {every: made_up(folder / str(every), every) for every in EVERY}


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda c: c.statement.text[:40])
def test_a_comparison_follows_the_rule_and_comes_out_either_way(others, comparison):
    own = others[25]
    verdicts = []
    for every, other in others.items():
        runs = {comparison.method: [own], comparison.other: [other]}
        finding = comparison.finding("curves", runs)
        holds = comparison.statement.holds(pytest.approx(every / 25).expected)
        assert finding.verdict is (Verdict.CONFIRMED if holds else Verdict.NOT_CONFIRMED)
        assert finding.numbers[f"{comparison.statement.quantity}, median"] == pytest.approx(
            every / 25
        )
        assert finding.n == 6
        verdicts.append(finding.verdict)
    assert set(verdicts) == {Verdict.CONFIRMED, Verdict.NOT_CONFIRMED}


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda c: c.statement.text[:40])
def test_without_runs_of_a_method_a_comparison_is_not_measured(tmp_path, comparison):
    finding = comparison.finding("curves", {comparison.other: [made_up(tmp_path / "other")]})
    assert finding.verdict is Verdict.NOT_MEASURED
    assert f"There is no run of {comparison.method}." in finding.note


@pytest.mark.parametrize(
    ("average", "baseline", "kfac"),
    [
        (0.5, Verdict.CONFIRMED, Verdict.NOT_CONFIRMED),
        (1.2, Verdict.NOT_CONFIRMED, Verdict.CONFIRMED),
        (1, Verdict.NOT_MEASURED, Verdict.NOT_MEASURED),
    ],
)
def test_averages_are_judged_for_the_baseline_and_for_kfac(tmp_path, average, baseline, kfac):
    run = made_up(tmp_path / "run", average=average)
    found = compare.average_findings("curves", {name: [run] for _, name in compare.AVERAGES})
    assert [finding.verdict for finding in found] == [baseline, kfac, kfac, kfac]


def test_the_papers_statements_are_judged_with_every_set_of_values():
    """Its own too, and those of its authors' code: what this project adds is not the paper's."""
    of_kfac = {each.method for each in COMPARISONS if each.other == compare.BASELINE}
    assert of_kfac >= {"tridiagonal", "tridiagonal-paper", "tridiagonal-companion"}
    texts = {
        compare.FASTER_PER_SECOND.text,
        *(f"with {v}, {compare.FASTER_PER_SECOND.text}" for v in compare.PRESETS.values()),
    }
    assert texts <= {each.statement.text for each in COMPARISONS}


@pytest.mark.parametrize(("name", "statement"), STATEMENTS)
def test_exponents_are_judged_either_way(name, statement):
    verdicts = {statement.finding([p]).verdict for p in (0.1, 0.6, 0.9, 1.5)}
    assert verdicts == {Verdict.CONFIRMED, Verdict.NOT_CONFIRMED}


@pytest.mark.parametrize(("every", "verdict"), [(25, "not confirmed"), (50, "confirmed")])
def test_the_time_that_subsets_save_is_judged_either_way(tmp_path, every, verdict):
    """By the iterations that both did: later ones, on larger mini-batches, take longer."""
    whole = _timed(made_up(tmp_path / "whole"), [every])
    subsets = _timed(made_up(tmp_path / "sub"), [25.0, 1000.0])
    runs = {options.WHOLE: [whole], options.SUBSETS: [subsets]}
    assert options.other_findings("curves", runs)[0].verdict == verdict
    moved = replace(subsets, environment=replace(subsets.environment, threads=7))
    for runs in ({}, {options.WHOLE: [whole], options.SUBSETS: [moved]}):
        assert options.other_findings("curves", runs)[0].verdict is Verdict.NOT_MEASURED


@pytest.mark.parametrize(
    ("errors", "status", "median", "verdict"),
    [
        ((64.0, 17.0, 15.5, 15.0), "finished", (15.5 / 4 + 15) / 2, Verdict.CONFIRMED),
        ((64.0, 16.0, 4.0, 1.0), "finished", 1, Verdict.NOT_CONFIRMED),
        ((64.0, 99.0), "diverged", "never", Verdict.CONFIRMED),
        ((64.0, 16.0, math.nan, math.nan), "diverged", "never", Verdict.CONFIRMED),
        ((64.0, 17.0), "time limit reached", 17 / 16, Verdict.NOT_CONFIRMED),
    ],
)
def test_kfacs_momentum_is_judged_by_errors_after_as_many_iterations(
    tmp_path, errors, status, median, verdict
):
    """A run that leaves the first plateau as fast as the baseline, and then stops, is worse."""
    baseline = made_up(tmp_path / "baseline", average=1)
    other = replace(made_up(tmp_path / "other", errors=errors, average=1), status=status)
    runs = {options.BASELINE: [baseline], options.KFAC_MOMENTUM: [other]}
    finding = options.other_findings("curves", runs)[1]
    name = f"{options.SGD_MOMENTUM.quantity}, median"
    assert finding.numbers[name] == (median if median == "never" else pytest.approx(median))
    assert finding.verdict is verdict


def _timed(run, seconds):
    """The run with the optimizer seconds at iteration 100, 200, …"""
    iterations = 100.0 * np.arange(1, len(seconds) + 1)
    metrics = {"iteration": iterations, "optimizer_seconds": np.array(seconds, dtype=float)}
    return replace(run, metrics=metrics)
