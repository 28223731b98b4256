"""A study: what it leaves, what interrupts it, and what it refuses."""

import csv
import json
import signal

import pytest
from optuna.trial import TrialState
from soak.compare import differences

from kfac_cli.checkpoint.folder import checkpoint_iterations
from kfac_cli.data.options import ArraysOptions
from kfac_cli.data.registry import DATASETS
from kfac_cli.tune import trial as trial_module
from kfac_cli.tune.options import TuneOptions
from kfac_cli.tune.plan import start_or_join
from kfac_cli.tune.study import SharedStudy

from .conftest import RANGE, send, trials


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def ranking(folder):
    return table(folder / "ranking.csv")


def summary(folder, number):
    return json.loads((folder / f"trials/{number}/summary.json").read_text())


def values(folder):
    return [(t.number, t.params, t.value, t.state, t.intermediate_values) for t in trials(folder)]


def test_a_study_leaves_runs_a_ranking_importances_and_an_experiment(
    kfac_tune, words, tmp_path, monkeypatch
):
    ranges = [*words, "optimizer.mu_max=0.5,0.9"]
    answer = kfac_tune(*ranges, "trials=4", "pruner=none", "sampler=random", "output=study")
    assert (answer.code, answer.err) == (0, "")
    study = tmp_path / "study"
    rows = ranking(study)
    errors = [float(row["error"]) for row in rows]
    assert (
        errors == sorted(errors) == sorted(summary(study, n)["best_train_error"] for n in range(4))
    )
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    assert {row["status"] for row in rows} == {"finished"}
    best = int(rows[0]["trial"])
    settings = summary(study, best)["settings"]
    for name in ("optimizer.learning_rate", "optimizer.mu_max"):
        assert float(rows[0][name]) == settings[name]
    shares = {row["setting"] for row in table(study / "importances.csv")}
    assert shares == {"optimizer.learning_rate", "optimizer.mu_max"}
    lines = answer.out.splitlines()
    assert sum(line.startswith("trial ") for line in lines) == 4
    assert lines[-1] == "  kfac-report study  draws and compares the trials"
    assert (
        f"best: trial {best}, training error {errors[0]:.4g}: optimizer.learning_rate="
        in answer.out
    )

    from kfac_cli.__main__ import main

    command = ["--config-dir", "study", "experiment=best", "hydra.run.dir=again"]
    monkeypatch.setattr("sys.argv", ["kfac-run", *command])
    assert main() == 0
    assert differences(study / f"trials/{best}", tmp_path / "again") == []
    again = json.loads((tmp_path / "again/summary.json").read_text())
    assert again["settings"] == settings


@pytest.mark.parametrize(("pruner", "number"), [("median", 12), ("hyperband", 5)])
def test_an_interrupted_study_continues_as_if_it_had_not_been(
    kfac_tune, words, tmp_path, in_step, pruner, number
):
    ranges = [*words, f"trials={number}", f"pruner={pruner}", "evaluate_every=1"]
    assert kfac_tune(*ranges, "output=whole").code == 0

    steps = []

    def acting(session):
        steps.append(session.iteration)
        if len(steps) in (5, 21):
            send(signal.SIGINT)

    in_step(acting)
    answer = kfac_tune(*ranges, "output=parts")
    assert (answer.code, answer.err) == (130, "kfac-tune: interrupted\n")
    codes = [kfac_tune("output=parts").code for _ in range(2)]
    assert codes == [130, 0]
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    assert values(parts) == values(whole)
    states = [state for _, _, _, state, _ in values(whole)]
    assert {TrialState.COMPLETE, TrialState.PRUNED} == set(states)
    for n in range(number):
        assert differences(parts / f"trials/{n}", whole / f"trials/{n}") == []


def test_a_pruned_trials_folder_says_so(kfac_tune, words, tmp_path, monkeypatch):
    monkeypatch.setattr(trial_module.Trial, "should_prune", lambda self: self.number == 1)
    answer = kfac_tune(*words, "trials=2", "output=study")
    assert answer.code == 0
    study = tmp_path / "study"
    assert [summary(study, n)["status"] for n in (0, 1)] == ["finished", "pruned"]
    assert [summary(study, n)["iterations"] for n in (0, 1)] == [8, 4]
    assert [row["status"] for row in ranking(study)] == ["finished", "pruned"]
    assert ranking(study)[1]["rank"] == ""
    assert [t.state for t in trials(study)] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert "pruned after 4 iterations" in answer.out
    assert checkpoint_iterations(study / "trials/1")[0] == 4  # it can be continued by hand


def test_a_failing_trial_is_recorded_and_the_study_continues(
    kfac_tune, words, tmp_path, monkeypatch
):
    load, calls = DATASETS[ArraysOptions], []

    def failing(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise OSError(5, "Input/output error", "cases.npz")
        return load(*arguments)

    monkeypatch.setitem(DATASETS, ArraysOptions, failing)
    answer = kfac_tune(*words, "trials=3", "output=study")
    assert answer.code == 0
    states = [t.state for t in trials(tmp_path / "study")]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]
    assert "trial 1 of 3: " in answer.out
    assert ": failed: cases.npz: Input/output error\n" in answer.out
    assert "Input/output error" in (tmp_path / "study/trials/1/error.log").read_text()
    assert ranking(tmp_path / "study")[2]["status"] == "failed"


def test_a_study_whose_first_trials_all_fail_ends(kfac_tune, words, tmp_path):
    (tmp_path / "cases.npz").unlink()
    answer = kfac_tune(*words, "trials=9", "output=study")
    assert answer.code == 1
    assert "error: all of the first 3 trials failed; the last one: " in answer.err
    assert len(answer.err.splitlines()) == 1
    assert len(trials(tmp_path / "study")) == 3


def test_a_trial_whose_process_is_killed_again_and_again_has_failed(
    kfac_tune, words, tmp_path, monkeypatch
):
    class Killed(BaseException):
        pass

    def kill(*arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("kfac_cli.run.saved_run.make_session", kill)
        for _ in range(3):
            with pytest.raises(Killed):
                kfac_tune(*words, "trials=2", "output=study")
    answer = kfac_tune(*words, "trials=2", "output=study")
    assert answer.code == 0
    assert "failed: its process was killed 3 times after iteration 0" in answer.out
    states = [t.state for t in trials(tmp_path / "study")]
    assert states == [TrialState.FAIL, TrialState.COMPLETE]


def test_a_study_whose_trials_all_missed_the_target_says_so(kfac_tune, words):
    answer = kfac_tune(*words, "target_error=1e-9", "trials=2", "output=study")
    assert answer.code == 0
    assert answer.out.splitlines()[-2:] == [
        "best: none, no trial reached target_error; study/ranking.csv says how each ended",
        "  kfac-report study  draws and compares the trials",
    ]


def test_time_to_target_is_the_objective_where_there_is_a_target(kfac_tune, words, tmp_path):
    ranges = [*words[:-1], "optimizer.learning_rate=0.001,1", "sampler=grid"]
    answer = kfac_tune(
        *ranges, "target_error=1.0", "objective=iterations", "evaluate_every=1", "output=study"
    )
    assert answer.code == 0
    slow, fast = trials(tmp_path / "study")
    reached = summary(tmp_path / "study", 1)
    assert reached["status"] == "target reached"
    assert (fast.state, fast.value) == (TrialState.COMPLETE, reached["iterations"])
    assert slow.state == TrialState.PRUNED  # it has no value, but says how far it came
    assert f"{reached['iterations']} iterations to the target" in answer.out
    assert ranking(tmp_path / "study")[0]["iterations"] == str(reached["iterations"])


def test_a_budget_is_the_time_of_the_steps_of_a_trial(kfac_tune, words, tmp_path):
    words = [word for word in words if not word.startswith("iterations")]
    budget = ("iterations=1000000", "max_optimizer_seconds=1e-3")
    assert kfac_tune(*words, *budget, "trials=2", "output=study").code == 0
    for number in range(2):
        ended = summary(tmp_path / "study", number)
        assert ended["status"] == "time limit reached"
        assert ended["optimizer_seconds"] >= 1e-3


def test_a_larger_number_of_trials_continues_a_study(kfac_tune, words, tmp_path):
    assert kfac_tune(*words, "trials=1", "output=study").code == 0
    assert kfac_tune("trials=2", "output=study").code == 0
    assert kfac_tune("output=study").code == 0
    assert len(trials(tmp_path / "study")) == 2


def test_a_database_holds_a_study_as_well(kfac_tune, words, tmp_path):
    storage = "storage=sqlite:///study.db"
    assert kfac_tune(*words, "trials=1", storage, "output=study").code == 0
    assert (tmp_path / "study.db").exists()
    assert not (tmp_path / "study/study.journal").exists()
    assert kfac_tune("trials=2", "output=study").code == 0
    assert len(ranking(tmp_path / "study")) == 2
    answer = kfac_tune(*words, "trials=1", storage, "output=other")
    assert answer.code == 1
    assert "error: study=kfac-tune: belongs to another folder than other" in answer.err


def test_a_journal_that_a_crash_cut_short_is_continued(kfac_tune, words, tmp_path):
    assert kfac_tune(*words, "trials=1", "output=study").code == 0
    with (tmp_path / "study/study.journal").open("a") as file:
        file.write('{"op_code":4,"wor')
    assert kfac_tune("trials=2", "output=study").code == 0
    assert len(trials(tmp_path / "study")) == 2


LISTED = "kfac-run --cfg job lists them all"
BAD = [
    (["seed=1"], "nothing to search: give a setting a range, "),
    (["optimizer.nope=interval(0,1)"], "optimizer.nope=0.0: no such setting; " + LISTED),
    (
        ["optimizer.mu_max=interval(0.5,1)"],
        "optimizer.mu_max=interval(0.5,1): optimizer.mu_max=1.0: must be a number in [0, 1)",
    ),
    (
        ["optimizer.mu_max=interval(-0.1,0.5)"],
        "optimizer.mu_max=interval(-0.1,0.5): optimizer.mu_max=-0.1: must be a number in [0, 1)",
    ),
    (["schedule.initial=interval(1,5)"], "; write int(interval(LOW,HIGH))"),
    (["optimizer=adam", "optimizer.arguments.lr=interval(-1,1)"], "lr:-1.0}: Adam refuses them"),
    (["schedule=exponential,nope"], "schedule=nope: must be adaptive, exponential"),
    ([RANGE, "trials=0"], "trials=0: must be null or a whole number from 1"),
    ([RANGE, "sampler=best"], "sampler=best: must be tpe, qmc, random or grid"),
    ([RANGE, "sampler=grid"], "has no grid; give choices, or use another sampler="),
    ([RANGE, "objective=seconds"], "objective=seconds: needs target_error=E"),
    ([RANGE, "search=nope"], "search=nope: must be adam, adamw, ekfac, heskes, "),
    ([RANGE, "storage=nope://x"], "storage=nope://x: Can't load plugin"),
    ([RANGE, "hydra.run.dir=x"], "hydra.run.dir=x: Hydra's own settings are not for kfac-tune"),
    ([RANGE, "resume=x"], "kfac-tune output=FOLDER continues a study"),
    (["-m", RANGE], "-m: not recognized; the options are --protocol, --help and --version"),
    ([RANGE, "output=cases.npz"], "output=cases.npz: is not a folder"),
    ([RANGE, "output=."], "output=.: holds no study, but cases.npz; choose a new folder"),
]


@pytest.mark.parametrize(("wrong", "line"), BAD, ids=[" ".join(wrong) for wrong, _ in BAD])
def test_what_cannot_be_searched_is_one_line_before_anything_runs(
    kfac_tune, words, tmp_path, wrong, line
):
    base = [
        w for w in words[:-1] if w.partition("=")[0] not in {x.partition("=")[0] for x in wrong}
    ]
    if "optimizer=adam" in wrong:
        base = [word for word in base if not word.startswith("optimizer.")]
    before = sorted(tmp_path.rglob("*"))
    answer = kfac_tune(*wrong, *base)
    assert answer.code == 1
    assert answer.out == ""
    assert answer.err.startswith("kfac-tune: error: ")
    assert line in answer.err
    assert len(answer.err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_study_is_joined_with_the_same_settings_or_none(kfac_tune, words, tmp_path):
    assert kfac_tune(*words, "trials=1", "output=study").code == 0
    assert kfac_tune(*words, "output=study").code == 0
    answer = kfac_tune(*words, "l2=0.1", "output=study")
    assert answer.code == 1
    assert "l2=0.1: is not in the study in study; give the same settings or only" in answer.err
    answer = kfac_tune(*words, "sampler_seed=1", "output=study")
    assert answer.code == 1
    assert "sampler_seed=1: the study in study has sampler_seed=0; choose a new" in answer.err


def test_without_optuna_one_line_names_the_extra(kfac_tune, words, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    answer = kfac_tune(*words)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == (
        "kfac-tune: error: kfac-tune needs Optuna, an extra of kfac-run: "
        "pip install 'kfac-run[tune]'\n"
    )


def test_the_protocol_gives_every_optimizer_the_same_and_counts_the_median_study(
    kfac_tune, words, tmp_path
):
    shared = [word for word in words if not word.startswith("optimizer")]
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
    kfac_tune, words, tmp_path, in_step, ends
):
    shared = [word for word in words if not word.startswith("optimizer")]
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
    open_line = "  1 study has trials running in other processes, and no score yet: "
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
