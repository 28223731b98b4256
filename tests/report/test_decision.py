"""Claims decided from folders of runs."""

import math

import pytest
import yaml

from kfac_cli.errors import UserError
from kfac_cli.report.claim import parse_claim
from kfac_cli.report.decision import decide
from kfac_cli.report.runs import load_runs
from tests.report.folders import nested, settings, write_run

FAST = (9.0, 4.0, 2.0, 1.0)
SLOW = (30.0, 10.0, 6.0, 4.5)
NEVER = (30.0, 29.0, 28.0, 27.0)
CLAIM = "optimizer=kfac_tridiag < optimizer=adam at error 5"


@pytest.fixture
def decided(tmp_path):
    """A function from a claim and the errors of the runs of two optimizers to the verdict."""

    def decide_runs(claim, kfac, adam, **of_adam):
        for name, rows, given in (("kfac_tridiag", kfac, {}), ("adam", adam, of_adam)):
            for seed, errors in enumerate(rows):
                folder = tmp_path / name / str(seed)
                write_run(folder, settings(name, seed=seed), errors=errors, **given)
        runs, complaints = load_runs([tmp_path])
        assert complaints == []
        return decide(parse_claim(claim), runs)

    return decide_runs


def test_a_claim_holds_where_every_seed_is_faster(decided):
    verdict = decided(CLAIM, [FAST] * 3, [SLOW] * 3)
    assert verdict.better == (50, 50, 50)
    assert verdict.worse == (100, 100, 100)
    assert verdict.outcome == "held"
    text = str(verdict)
    assert "optimizer=kfac_tridiag: 50, 50, 50 (n = 3, median 50)" in text
    assert "effect  2 times as much on the right, 90% interval 2 times to 2 times" in text
    assert "p = 0.05, level 0.05" in text
    assert text.endswith("verdict held")


def test_a_claim_does_not_hold_the_other_way_round(decided):
    assert decided(CLAIM.replace("<", ">"), [FAST] * 3, [SLOW] * 3).outcome == "did not hold"


def test_two_seeds_are_too_few_and_the_verdict_says_how_many_it_takes(decided):
    verdict = decided(CLAIM, [FAST] * 2, [SLOW] * 2)
    assert verdict.outcome == "too few runs"
    assert str(verdict).endswith("needs 3 seeds or more on each side")


def test_not_reached_is_worse_than_any_cost(decided):
    verdict = decided(CLAIM, [SLOW] * 3, [NEVER] * 3)
    assert verdict.outcome == "held"
    assert "not reached, not reached, not reached (n = 3, median not reached)" in str(verdict)


def test_cases_and_optimizer_seconds_are_costs_too(decided):
    assert decided(f"{CLAIM} by cases", [FAST] * 3, [SLOW] * 3).better == (5000,) * 3


def test_seconds_are_those_of_the_optimizer(decided):
    assert decided(f"{CLAIM} by seconds", [FAST] * 3, [SLOW] * 3).better == (5.0,) * 3


def test_errors_themselves_are_compared_at_an_iteration(decided):
    verdict = decided(CLAIM.replace("error 5", "iteration 75"), [FAST] * 3, [SLOW] * 3)
    assert (verdict.better, verdict.worse) == ((2.0,) * 3, (6.0,) * 3)
    assert verdict.outcome == "held"


def test_a_diverged_run_has_an_infinite_error_from_then_on(decided):
    verdict = decided(
        CLAIM.replace("error 5", "iteration 100"),
        [FAST] * 3,
        [SLOW[:2]] * 3,
        status="diverged",
    )
    assert verdict.worse == (math.inf,) * 3


def test_a_run_that_could_still_have_reached_the_target_is_not_counted(decided):
    verdict = decided(CLAIM, [FAST] * 3, [NEVER] * 3, status="interrupted")
    assert verdict.worse == ()
    assert "interrupted before the target and not counted" in verdict.notes[0]


def test_an_interrupted_run_that_reached_the_target_counts(decided):
    verdict = decided(CLAIM, [FAST] * 3, [SLOW] * 3, status="interrupted")
    assert verdict.worse == (100,) * 3


def test_a_run_that_failed_of_itself_is_not_counted(decided):
    """A full disk says nothing about an optimizer."""
    verdict = decided(CLAIM, [FAST] * 3, [NEVER] * 3, status="failed")
    assert verdict.worse == ()
    assert "failed before the target and not counted" in verdict.notes[0]


@pytest.mark.parametrize("status", ["finished", "target reached"])
def test_a_claim_that_longer_runs_could_refute_does_not_hold(decided, status):
    """They ended after 75 iterations, and could have been at 5 at the next one."""
    verdict = decided(CLAIM, [SLOW] * 3, [NEVER[:3]] * 3, status=status)
    assert verdict.better == (100,) * 3
    assert verdict.outcome == "too short runs"
    assert str(verdict).endswith("let them run longer")
    assert verdict.notes[0] == (
        "adam/0: missed the target, but ended after 75 iterations, where the other side had up to "
        "100"
    )


def test_a_claim_that_longer_runs_could_show_is_not_refuted(decided):
    assert decided(CLAIM, [NEVER[:1]] * 3, [SLOW] * 3).outcome == "too short runs"


def test_a_claim_that_longer_runs_could_show_is_not_refuted_by_longer_misses(tmp_path):
    for seed, errors in enumerate([SLOW, SLOW, NEVER[:2], NEVER[:2]]):
        write_run(tmp_path / f"k{seed}", settings(seed=seed), errors=errors)
        write_run(tmp_path / f"a{seed}", settings("adam", seed=seed), errors=NEVER * 3)
    decision = decide(parse_claim(CLAIM), load_runs([tmp_path])[0])
    assert decision.outcome == "too short runs"


def test_a_claim_that_no_longer_run_could_refute_holds(decided):
    """Those that missed it ended after 75 iterations, when the others had long been there."""
    assert decided(CLAIM, [FAST] * 3, [NEVER[:3]] * 3).outcome == "held"


def test_a_diverged_run_missed_the_target_for_good(decided):
    assert decided(CLAIM, [SLOW] * 3, [NEVER[:1]] * 3, status="diverged").outcome == "held"


@pytest.mark.parametrize(
    "plans", [{"optimizer__rate_schedule": "linear"}, {"optimizer__final_iterations": 50}]
)
def test_runs_whose_steps_depend_on_their_length_are_not_pooled(tmp_path, plans):
    for seed in range(4):
        own = settings("adam", seed=seed, iterations=100 + 900 * (seed > 1), **plans)
        write_run(tmp_path / f"a{seed}", own, errors=SLOW)
        write_run(tmp_path / f"k{seed}", settings(seed=seed), errors=FAST)
    runs, _ = load_runs([tmp_path])
    with pytest.raises(UserError, match="different values of iterations: 100, 1000"):
        decide(parse_claim(CLAIM), runs)


def started(folder, starts):
    for seed, start in enumerate(starts):
        for name, errors in (("kfac_tridiag", FAST), ("adam", SLOW)):
            own = settings(name, seed=seed, start_from=start)
            write_run(folder / f"{name}{seed}", own, errors=errors)
    return decide(parse_claim(CLAIM), load_runs([folder])[0])


def test_runs_from_one_start_are_one_sample(tmp_path):
    """They have its parameters and its mini-batches, whatever the seed."""
    decision = started(tmp_path, ["/runs/0"] * 3)
    assert (len(decision.better), decision.outcome) == (1, "too few runs")


def test_runs_from_different_starts_are_samples(tmp_path):
    decision = started(tmp_path, ["/runs/0", "/runs/1", "/runs/2"])
    assert (len(decision.better), decision.outcome) == (3, "held")


def test_checkpoints_of_one_run_are_no_different_starts(tmp_path):
    with pytest.raises(UserError, match="different values of start_from"):
        started(tmp_path, [f"/runs/0/checkpoint-{k}.safetensors" for k in (100, 200, 300)])


def test_runs_with_and_without_a_start_are_not_pooled(tmp_path):
    with pytest.raises(UserError, match="different values of start_from"):
        started(tmp_path, ["/runs/0", "/runs/1", None])


def test_a_run_without_a_summary_is_on_the_data_of_equal_settings(decided, tmp_path):
    for seed in (3, 4):
        killed = tmp_path / "killed" / str(seed)
        write_run(killed, settings("kfac_tridiag", seed=seed), errors=FAST, status=None)
        (killed / "config.yaml").write_text(
            yaml.safe_dump(nested(settings("kfac_tridiag", seed=seed)))
        )
    verdict = decided(CLAIM, [FAST] * 3, [SLOW] * 3)
    assert verdict.better == (50,) * 5


def test_a_seed_counts_once_whatever_the_budget(tmp_path):
    for name, errors in (("kfac_tridiag", FAST), ("adam", SLOW)):
        for iterations in (100, 75):
            for seed in (0, 1):
                own = settings(name, seed=seed, iterations=iterations)
                write_run(tmp_path / f"{name}{seed}{iterations}", own, errors=errors)
    runs, _ = load_runs([tmp_path])
    verdict = decide(parse_claim(CLAIM), runs)
    assert len(verdict.better) == len(verdict.worse) == 2
    assert verdict.outcome == "too few runs"


@pytest.mark.parametrize(
    ("claim", "says"),
    [
        (CLAIM.replace("adam", "muon"), r"no run has optimizer=muon; their optimizer.name: adam"),
        ("optimizer.nme=a < optimizer=adam at error 5", "they have no setting optimizer.nme"),
        (
            CLAIM.replace("error 5", "iteration 90"),
            "at iteration 90 no run was evaluated, but at 25, 50, 75, 100",
        ),
        ("optimizer=adam < optimizer=adam seed=0 at error 5", "a run belongs to both sides"),
    ],
)
def test_a_claim_about_runs_that_are_not_there_is_refused(decided, claim, says):
    with pytest.raises(UserError, match=says):
        decided(claim, [FAST] * 3, [SLOW] * 3)


def test_seconds_of_different_machines_are_refused(decided):
    with pytest.raises(UserError, match=r"A processor, 1 thread.*Another, 1 thread.*claim by iter"):
        decided(f"{CLAIM} by seconds", [FAST] * 3, [SLOW] * 3, device_name="Another")


def test_seconds_of_unknown_machines_are_refused(tmp_path):
    for name, errors in (("kfac_tridiag", FAST), ("adam", SLOW)):
        for seed in range(3):
            own = settings(name, seed=seed)
            write_run(tmp_path / f"{name}{seed}", own, errors=errors, device_name=None)
    runs, _ = load_runs([tmp_path])
    with pytest.raises(UserError, match=r"kfac_tridiag0: its machine was not recorded.*by iter"):
        decide(parse_claim(f"{CLAIM} by seconds"), runs)


def test_tables_without_the_seconds_of_the_optimizer_are_refused(decided, tmp_path):
    """An error, and no claim that did not hold."""
    for seed in (3, 4):
        folder = write_run(tmp_path / "old" / str(seed), settings(seed=seed), errors=FAST)
        for name in ("evaluations.csv", "metrics.csv"):
            text = (folder / name).read_text()
            (folder / name).write_text(text.replace("optimizer_seconds", "renamed"))
    claim = f"{CLAIM} by seconds"
    with pytest.raises(UserError, match=r"old/3: has no optimizer_seconds at the target; claim by"):
        decided(claim, [FAST] * 3, [SLOW] * 3)


def test_a_run_that_is_not_counted_does_not_need_a_machine(decided, tmp_path):
    killed = write_run(tmp_path / "killed", settings(seed=9), errors=NEVER, status=None)
    (killed / "config.yaml").write_text(yaml.safe_dump(nested(settings(seed=9))))
    verdict = decided(f"{CLAIM} by seconds", [FAST] * 3, [SLOW] * 3)
    assert verdict.outcome == "held"
    assert verdict.notes == ("killed: unfinished before the target and not counted",)


def test_a_pruned_run_is_not_counted(decided):
    assert decided(CLAIM, [FAST] * 3, [NEVER] * 3, status="pruned").worse == ()


def test_other_data_are_refused(decided):
    with pytest.raises(UserError, match="ran on other data"):
        decided(CLAIM, [FAST] * 3, [SLOW] * 3, data="b" * 64)


def test_a_side_that_stands_for_several_settings_is_refused(tmp_path):
    for seed, rate in enumerate((0.1, 0.2)):
        own = settings("adam", seed=seed, optimizer__arguments__lr=rate)
        write_run(tmp_path / str(seed), own)
    runs, _ = load_runs([tmp_path])
    with pytest.raises(UserError, match=r"optimizer.arguments.lr: 0.1, 0.2; add one of them"):
        decide(parse_claim("optimizer=adam < optimizer=sgd at error 5"), runs)


def test_seconds_of_runs_with_and_without_a_start_are_not_claimed_about(tmp_path):
    for seed in range(3):
        write_run(tmp_path / f"a{seed}", settings("adam", seed=seed), errors=SLOW)
        started = settings(seed=seed, start_from="runs/adam")
        write_run(tmp_path / f"k{seed}", started, errors=FAST)
    runs, _ = load_runs([tmp_path])
    with pytest.raises(UserError, match=r"starts \(start_from=runs/adam, start_from=null\)"):
        decide(parse_claim(f"{CLAIM} by seconds"), runs)


def test_seconds_of_a_run_on_several_machines_are_not_claimed_about(decided):
    with pytest.raises(UserError, match="it was resumed on another machine, with other threads or"):
        decided(f"{CLAIM} by seconds", [FAST] * 3, [SLOW] * 3, mixed_environment=True)
