"""A study: what it leaves, what interrupts it, and what it refuses."""

import itertools
import json
import signal

import pytest
from optuna.trial import TrialState
from soak.compare import differences

from kfac_cli.checkpoint.folder import checkpoint_iterations
from kfac_cli.data.options import ArraysOptions
from kfac_cli.data.registry import DATASETS
from kfac_cli.errors import UserError
from kfac_cli.files import TEMPORARY
from kfac_cli.tune import plan as plan_module
from kfac_cli.tune import trial as trial_module
from kfac_cli.tune.options import TuneOptions, read_options
from kfac_cli.tune.plan import start_or_join
from kfac_cli.tune.trial import STARTS

from .conftest import RANGE, send, summary, table, trials


def ranking(folder):
    return table(folder / "ranking.csv")


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


def fail_to_load(monkeypatch, fails):
    """Has the data of those trials not be read of whose number, from 1 on, `fails` is true."""
    load, calls = DATASETS[ArraysOptions], itertools.count(1)

    def failing(*arguments):
        if fails(next(calls)):
            raise OSError(5, "Input/output error", "cases.npz")
        return load(*arguments)

    monkeypatch.setitem(DATASETS, ArraysOptions, failing)


def test_a_failing_trial_is_recorded_and_the_study_continues(
    kfac_tune, words, tmp_path, monkeypatch
):
    fail_to_load(monkeypatch, lambda trial: trial == 2)
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
    assert "error: 3 trials in a row failed; the last one: " in answer.err
    assert len(answer.err.splitlines()) == 1
    assert len(trials(tmp_path / "study")) == 3


def test_three_failures_in_a_row_end_the_process(kfac_tune, words, tmp_path, monkeypatch):
    fail_to_load(monkeypatch, lambda trial: trial not in (1, 4))
    answer = kfac_tune(*words, "trials=9", "output=study")
    assert answer.code == 1
    assert "error: 3 trials in a row failed; the last one: cases.npz: Input" in answer.err
    states = [t.state.name for t in trials(tmp_path / "study")]
    assert states == ["COMPLETE", "FAIL", "FAIL", "COMPLETE", "FAIL", "FAIL", "FAIL"]


def test_an_interruption_while_data_load_is_no_kill(kfac_tune, words, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(DATASETS, ArraysOptions, lambda *arguments: send(signal.SIGTERM))
        for _ in range(3):
            assert kfac_tune(*words, "trials=1", "output=study").code == 143
    assert kfac_tune("output=study").code == 0
    [trial] = trials(tmp_path / "study")
    assert (trial.state, trial.user_attrs[STARTS]) == (TrialState.COMPLETE, [0])


def test_a_study_with_relative_paths_continues_from_another_folder(
    kfac_tune, words, tmp_path, monkeypatch
):
    relative = [word.replace(f"{tmp_path}/", "") for word in words]
    assert "dataset.file=cases.npz" in relative
    assert kfac_tune(*relative, "trials=1", "output=study").code == 0
    settings = json.loads((tmp_path / "study/study.json").read_text())["settings"]
    assert f"dataset.file={tmp_path / 'cases.npz'}" in settings
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert kfac_tune("trials=2", "output=../study").code == 0
    states = [t.state for t in trials(tmp_path / "study")]
    assert states == [TrialState.COMPLETE, TrialState.COMPLETE]


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
    (
        ["optimizer=adam", "optimizer.arguments.lr=interval(0,1)", "optimizer.rate_schedule=up"],
        "error: optimizer.rate_schedule=up: must be constant, linear or cosine",
    ),
    (["schedule=exponential,nope"], "schedule=nope: must be adaptive, exponential"),
    ([RANGE, "trials=0"], "trials=0: must be null or a whole number from 1"),
    ([RANGE, "sampler=best"], "sampler=best: must be tpe, qmc, random or grid"),
    ([RANGE, "sampler=grid"], "has no grid; give choices, or use another sampler="),
    ([RANGE, "objective=seconds"], "objective=seconds: needs target_error=E"),
    ([RANGE, "search=nope"], "search=nope: must be adam, adamw, ekfac, heskes, "),
    ([RANGE, "storage=nope://x"], "storage=nope://x: Can't load plugin"),
    ([RANGE, "hydra.run.dir=x"], "hydra.run.dir=x: Hydra's own settings are not for kfac-tune"),
    ([RANGE, "resume=x"], "kfac-tune output=FOLDER continues a study"),
    ([RANGE, "studies=5"], "studies=5: is for --protocol only"),
    ([RANGE, "search=1"], "search=1: must be adam, adamw, ekfac, heskes, "),
    (["-m", RANGE], "-m: not recognized; the options are --protocol, --help and --version"),
    ([RANGE, "output=cases.npz"], "output=cases.npz: is not a folder"),
    ([RANGE, "output=~no-such-user/x"], "output=~no-such-user/x: Could not determine home dir"),
    ([RANGE, "search=~no-such-user/x.yaml"], "search=~no-such-user/x.yaml: Could not determine"),
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


def test_a_default_objective_is_the_same_as_the_one_that_it_stands_for(words, tmp_path):
    words, folder = [*words, "target_error=1"], tmp_path / "study"

    def joined(**given):
        return start_or_join(folder, words, TuneOptions(**given), given)

    joined()
    path = folder / "study.json"
    recorded = json.loads(path.read_text())
    for value in ("seconds", None):  # as earlier versions recorded it
        recorded["options"]["objective"] = value
        path.write_text(json.dumps(recorded))
        assert joined(objective="seconds").objective == "seconds"
        assert joined(objective=None).objective == "seconds"
        with pytest.raises(
            UserError, match=r"objective=cases: the study in .* objective=seconds; "
        ):
            joined(objective="cases")


def test_a_number_is_a_name_where_a_name_is_asked_for():
    options, _ = read_options(["output=2024", "study=7", "search=1", "trials=3"])
    assert (options.output, options.study, options.search) == ("2024", "7", "1")
    assert options.trials == 3


def test_workers_that_start_together_do_not_refuse_each_others_files(words, tmp_path, monkeypatch):
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / f"study.json{TEMPORARY}").touch()  # another process is recording the plan
    plan = start_or_join(folder, words, TuneOptions(), {})
    (folder / "study.journal").touch()
    answers = iter([False])  # ... and has done so after this one saw that there is none
    monkeypatch.setattr(plan_module, "is_study", lambda folder: next(answers, True))
    assert start_or_join(folder, words, TuneOptions(), {}).identity == plan.identity


def test_without_optuna_one_line_names_the_extra(kfac_tune, words, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    answer = kfac_tune(*words)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == (
        "kfac-tune: error: kfac-tune needs Optuna: "
        "pip install '.[tune]' in the folder of kfac-run's source\n"
    )


def test_trials_that_a_grid_does_not_have_are_refused_and_not_recorded(kfac_tune, words, tmp_path):
    base = [word for word in words if "interval" not in word]
    grid = [*base, "l2=1e-5,1e-4", "sampler=grid"]
    assert kfac_tune(*grid, "output=study").code == 0
    answer = kfac_tune("output=study", "trials=5")
    assert (answer.code, "trials=5: the grid has 2 points" in answer.err) == (1, True)
    assert kfac_tune("output=study").code == 0


def test_commands_to_copy_are_quoted(kfac_tune, words):
    answer = kfac_tune(*words, "trials=1", "output=my study")
    assert "kfac-run --config-dir 'my study' experiment=best  runs it again" in answer.out
    assert "kfac-report 'my study'  draws" in answer.out


def test_failures_at_the_end_leave_nothing_undone(kfac_tune, words, tmp_path, monkeypatch):
    fail_to_load(monkeypatch, lambda trial: trial > 2)
    answer = kfac_tune(*words, "trials=4", "output=study")
    assert answer.code == 0
    assert "best: trial " in answer.out
