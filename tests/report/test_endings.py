"""Runs that ended before they could reach a target are not worse than those that reached it."""

import pytest

from kfac_cli.report.contents import contents
from tests.report.folders import settings, write_run
from tests.report.test_tables import read, texts

INSUFFICIENT = "evidence insufficient (runs ended earlier)"


@pytest.fixture
def unequal(tmp_path):
    """K-FAC ends at 30 s with 5.5 where Adam, which ends at 200 s with 3, is at 5.5 only then."""

    def with_targets(*targets):
        kfac = (9.0, 7.0, 5.5)
        adam = (30.0, *[20.0] * 4, 15.0, *[10.0] * 12, 5.5, 3.0)
        for optimizer, errors in (("kfac_tridiag", kfac), ("adam", adam)):
            for seed in range(4):
                own, folder = settings(optimizer, seed=seed), tmp_path / f"{optimizer}{seed}"
                write_run(folder, own, errors=errors, seconds_per_iteration=0.4)
        return contents(read(tmp_path), targets=targets)

    return with_targets


def test_a_smaller_budget_is_no_miss(unequal):
    compared = unequal(3.0)
    assert texts(compared.parts[0].verdicts)[0][3:5] == [INSUFFICIENT] * 2
    assert compared.headlines == (
        "adam reached a training error of 3 after 500 iterations; "
        "kfac_tridiag ended earlier, after 75.",
    )


def test_the_table_of_times_and_the_ranking_mark_a_smaller_budget(unequal):
    part = unequal(3.0).parts[0]
    times = {row[1]: row[3:] for row in texts(part.times)}
    assert times["kfac_tridiag"] == ["not reached (ended earlier)"] * 3
    assert times["adam"] == ["500", "50,000", "200"]
    ranking = {row[1]: row[2:4] for row in texts(part.scores)}
    assert ranking == {"kfac_tridiag": ["≥ 0.00"] * 2, "adam": ["1.00"] * 2}


def test_the_decisive_target_is_one_that_all_had_the_budget_for(unequal):
    part = unequal(5.5, 3.0).parts[0]
    kfac = "kfac_tridiag (p\u00a0=\u00a00.029)"
    assert part.verdicts.columns[3] == "iterations to error 5.5"
    assert texts(part.verdicts)[0][3:5] == [kfac] * 2


def test_a_miss_with_the_same_budget_but_for_the_last_step_counts(tmp_path):
    for seed in range(4):
        write_run(tmp_path / f"k{seed}", settings(seed=seed), errors=[20.0] * 4)
        own = settings("adam", seed=seed)
        write_run(tmp_path / f"a{seed}", own, errors=(30, 20, 9, 4.5), seconds_per_iteration=0.101)
    part = contents(read(tmp_path), targets=[4.5]).parts[0]
    assert texts(part.verdicts)[0][3:5] == ["adam (p\u00a0=\u00a00.029)"] * 2
    assert "ended earlier" not in part.times.csv() + str(texts(part.times))


@pytest.fixture
def stopped_at(tmp_path):
    """The report on K-FAC, stopped, and Adam, which is at 4.5 after 100 iterations."""

    def compared(status, errors):
        for seed in range(4):
            write_run(tmp_path / f"k{seed}", settings(seed=seed), errors=errors, status=status)
            own = settings("adam", seed=seed)
            write_run(tmp_path / f"a{seed}", own, errors=(30.0, 20.0, 9.0, 4.5))
        return contents(read(tmp_path), targets=[4.5])

    return compared


def verdict_by_iterations(compared):
    return texts(compared.parts[0].verdicts)[0][3]


@pytest.mark.parametrize("status", ["interrupted", "pruned", "failed"])
def test_a_run_that_was_stopped_could_have_reached_the_target(stopped_at, status):
    compared = stopped_at(status, (30.0, 20.0, 10.0))
    assert verdict_by_iterations(compared) == INSUFFICIENT
    assert compared.headlines[0].endswith("; kfac_tridiag ended earlier, after 75.")


def test_a_verdict_that_a_stopped_run_cannot_change_is_given(stopped_at):
    """Adam is faster even if K-FAC had reached 4.5 right after it was stopped at 150."""
    errors = (30.0, 20.0, 10.0, 9.0, 8.0, 7.0)
    compared = stopped_at("interrupted", errors)
    assert verdict_by_iterations(compared) == "adam (p\u00a0=\u00a00.029)"
    assert compared.headlines[0].endswith(", the only group that reached it in the median.")


@pytest.mark.parametrize("status", ["interrupted", "pruned", "failed"])
def test_errors_are_compared_where_the_runs_ended_that_were_not_stopped(tmp_path, status):
    """A run that was stopped after 25 iterations, where errors are alike, does not decide it."""
    for seed in range(4):
        write_run(tmp_path / f"k{seed}", settings(seed=seed), errors=(9.0, 2.0 + seed / 10))
        own = settings("adam", seed=seed)
        write_run(tmp_path / f"a{seed}", own, errors=(9.0, 5.0 + seed / 10))
    write_run(tmp_path / "stopped", settings(seed=4), errors=(9.0,), status=status)
    (verdicts,) = texts(contents(read(tmp_path)).parts[0].verdicts)
    assert verdicts[2] == "5 + 4"
    assert verdicts[-1] == "kfac_tridiag (p\u00a0=\u00a00.029 at 50, n\u00a0=\u00a04 + 4)"


def test_without_a_run_that_ended_no_errors_are_compared(tmp_path):
    for name in ("kfac_tridiag", "adam"):
        write_run(tmp_path / name, settings(name), errors=(9.0, 5.0), status="interrupted")
    (verdicts,) = texts(contents(read(tmp_path)).parts[0].verdicts)
    assert verdicts[-1] == "no iteration in common"
