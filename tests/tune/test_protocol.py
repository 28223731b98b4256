"""The protocol: what counts for an optimizer, and what it refuses."""

import csv
import io
import math
from dataclasses import replace

import pytest
from optuna.trial import TrialState

from kfac_cli.tune import protocol
from kfac_cli.tune.options import TuneOptions
from kfac_cli.tune.plan import start_or_join
from kfac_cli.tune.protocol import Result
from kfac_cli.tune.study import SharedStudy
from kfac_cli.tune.worker import TrialsFailingError

from .conftest import summary, table, trials


@pytest.fixture
def shared(words):
    """The settings that all optimizers have."""
    return [word for word in words if not word.startswith("optimizer")]


def test_the_protocol_gives_every_optimizer_the_same_and_counts_the_median_study(
    kfac_tune, shared, tmp_path
):
    arguments = ["--protocol", "optimizer=sgd,nesterov_sgd", "iterations=2", "trials=2"]
    shared = [word for word in shared if not word.startswith("iterations")]
    answer = kfac_tune(*arguments, *shared, "output=protocol")
    assert answer.code == 0
    folder = tmp_path / "protocol"
    rows = table(folder / "protocol.csv")
    assert [row["optimizer"] for row in rows] == ["sgd", "nesterov_sgd"]
    for row in rows:
        scores = []
        for number in range(3):
            study = folder / row["optimizer"] / str(number)
            errors = [summary(study, n)["best_train_error"] for n in range(2)]
            assert [t.value for t in trials(study)] == errors
            assert {summary(study, n)["seed"] for n in range(2)} == {number}
            scores.append(min(errors))
        assert [float(row[f"study_{number}"]) for number in range(3)] == scores
        assert float(row["median"]) == sorted(scores)[1]
    assert "median of 3 studies, each the best of 2 quasi-random trials:" in answer.out
    repeated = kfac_tune(*arguments, *shared, "output=protocol")  # nothing is left to do
    assert repeated.out.splitlines()[-3:] == answer.out.splitlines()[-3:]
    timed = kfac_tune(*arguments, *shared, "max_seconds=60", "output=timed")
    assert timed.err == (
        "kfac-tune: error: max_seconds=60: counts evaluations too; --protocol compares by the time "
        "of the steps: max_optimizer_seconds=60\n"
    )
    assert not (tmp_path / "timed").exists()
    refused = kfac_tune("--protocol", "optimizer=adam,torch", *shared)
    assert "optimizer=torch: --protocol needs optimizers with a ready-made space" in refused.err


@pytest.mark.parametrize("ends", [True, False])
def test_the_protocol_scores_no_study_whose_trials_another_process_runs(
    kfac_tune, shared, tmp_path, in_step, ends
):
    arguments = ["--protocol", "optimizer=sgd,nesterov_sgd", *shared, "studies=1", "output=all"]
    assert kfac_tune(*arguments, "trials=1").code == 0
    other = SharedStudy(start_or_join(tmp_path / "all/sgd/0", [], TuneOptions(trials=2), {}))
    claim = other.claim()  # as another process does

    def acting(session):
        if ends and not claim.trial.study.get_trials()[1].state.is_finished():
            other.tell(claim, TrialState.COMPLETE, 1e-9)

    in_step(acting)  # of the other optimizer's trial, after the work on this study
    answer = kfac_tune(*arguments, "trials=2")
    assert answer.code == 0
    sgd, nesterov = table(tmp_path / "all/protocol.csv")
    assert float(nesterov["median"]) == float(nesterov["study_0"]) > 0
    open_line = "  1 study has trials to run, or running in other processes, and no score yet: "
    if ends:
        assert (sgd["median"], sgd["study_0"]) == ("1e-09", "1e-09")
        assert open_line not in answer.out
    else:
        assert (sgd["median"], sgd["study_0"]) == ("", "")
        assert "  sgd           not finished  (not finished)\n" in answer.out
        assert open_line + "the same command completes the table\n" in answer.out
        claim.lock.release()
        assert open_line not in kfac_tune(*arguments, "trials=2").out
        assert float(table(tmp_path / "all/protocol.csv")[0]["median"]) > 0


def test_the_protocol_refuses_another_objective_before_it_begins_a_study(
    kfac_tune, shared, tmp_path
):
    shared = [*shared, "target_error=1"]
    options = protocol._options("sgd", TuneOptions(objective="iterations"))
    protocol._join(tmp_path / "all/sgd/0", 0, [*shared, "seed=0"], options)
    for typed, objective in (([], "seconds"), (["objective=cases"], "cases")):
        words = ["optimizer=adam,sgd", *shared, *typed, "studies=1", "output=all"]
        answer = kfac_tune("--protocol", *words)
        assert (answer.code, answer.out) == (1, "")
        assert answer.err == (
            f"kfac-tune: error: objective={objective}: the study in all/sgd/0 has "
            "objective=iterations; choose a new folder\n"
        )
        assert not (tmp_path / "all/adam").exists()


def test_the_protocol_refuses_a_sweep_of_the_seed(kfac_tune, shared):
    answer = kfac_tune("--protocol", "optimizer=adam,sgd", *shared, "seed=1,2")
    assert answer.err == (
        "kfac-tune: error: seed=1,2: --protocol gives each study another seed; give that of the "
        "first, seed=N\n"
    )


def test_trials_beyond_the_budget_do_not_count(words, tmp_path):
    plan = start_or_join(tmp_path / "study", words, TuneOptions(trials=4), {})
    study = SharedStudy(plan)
    first, second, third, fourth = (study.claim() for _ in range(4))
    study.tell(first, TrialState.COMPLETE, 0.5)
    study.tell(second, TrialState.FAIL, None)
    study.tell(third, TrialState.COMPLETE, 0.1)
    assert math.isnan(protocol._result(study).best)  # the fourth runs
    study.plan = replace(plan, options=replace(plan.options, trials=2))
    assert protocol._result(study) == Result(0.5, 1)
    fourth.lock.release()


def test_the_table_counts_the_trials_that_failed():
    results = [[Result(0.5, 0), Result(0.25, 2)], [Result(0.125, 0), Result(math.inf, 5)]]
    assert protocol._table(["sgd", "adam"], results, "error", 5) == [
        "median of 2 studies (the mean of the middle two), each the best of 5 quasi-random trials:",
        "  sgd   training error 0.375  (0.5, 0.25)",
        "    study 1 has 3 usable trials: 2 of 5 failed",
        "  adam  1 of 2 studies measured no error  (0.125, none)",
        "    study 1 has 0 usable trials: 5 of 5 failed",
    ]
    rows = list(csv.DictReader(io.StringIO(protocol._csv(["sgd", "adam"], results))))
    assert [(row["failed_0"], row["failed_1"]) for row in rows] == [("0", "2"), ("0", "5")]


@pytest.mark.parametrize(
    ("objective", "line"),
    [("error", "2 of 3 studies measured no error"), ("cases", "2 of 3 studies did not reach the")],
)
def test_an_infinite_median_says_how_many_studies_have_no_value(objective, line):
    row = [Result(1.0, 0), Result(math.inf, 0), Result(math.inf, 0)]
    heading, score = protocol._table(["sgd"], [row], objective, 5)
    assert heading == "median of 3 studies, each the best of 5 quasi-random trials:"
    assert score.startswith(f"  sgd  {line}")
    assert score.endswith("  (1, none, none)")


def test_an_optimizer_whose_trials_fail_does_not_keep_the_others_waiting(
    kfac_tune, shared, tmp_path, monkeypatch
):
    work = protocol.work

    def failing(plan):
        if "/sgd/" in str(plan.folder):
            raise TrialsFailingError("3 trials in a row failed; the last one: no memory")
        return work(plan)

    monkeypatch.setattr(protocol, "work", failing)
    arguments = ["--protocol", "optimizer=sgd,adam", "trials=1", "studies=1", *shared]
    answer = kfac_tune(*arguments, "output=protocol")
    assert answer.code == 1
    assert "protocol/sgd/0: 3 trials in a row failed; the last one: no memory" in answer.err
    rows = {row["optimizer"]: row["median"] for row in table(tmp_path / "protocol/protocol.csv")}
    assert rows["sgd"] == ""
    assert float(rows["adam"]) > 0
