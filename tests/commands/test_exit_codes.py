"""The exit code of kfac-run, and what it prints when a run fails or is interrupted."""

import pytest

from kfac_cli.commands import jobs
from kfac_cli.commands.current_job import CurrentJob
from kfac_cli.config.schema import RunConfig
from kfac_cli.errors import UserError


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("finished", 0),
        ("target reached", 0),
        ("target not reached", 0),
        ("time limit reached", 0),
        ("diverged", 1),
        ("interrupted", 130),
        ("terminated", 143),
    ],
)
def test_the_exit_code_says_how_the_run_ended(kfac_run, runner, status, code):
    runner.behave = lambda config: status
    assert kfac_run("experiment=smoke").code == code


REQUIRED = ["experiment=smoke", "target_error=0.5", "require_target=true"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("target reached", 0),
        ("target not reached", 1),
        ("diverged", 1),
        ("interrupted", 130),
        ("terminated", 143),
    ],
)
def test_a_required_target_decides_the_exit_code(kfac_run, runner, status, code):
    runner.behave = lambda config: status
    assert kfac_run(*REQUIRED).code == code


def test_a_required_target_that_was_missed_is_one_line(kfac_run, runner, tmp_path):
    runner.behave = lambda config: "target not reached"
    answer = kfac_run(*REQUIRED, "hydra.run.dir=mine")
    assert answer.err == (
        "kfac-run: error: target_error=0.5: not reached, the best training error is 1.500; the "
        "results are in mine\n"
    )
    assert not (tmp_path / "mine/error.log").exists()


@pytest.mark.parametrize(("done", "hint"), [(3, True), (None, False)])
def test_a_target_missed_for_lack_of_time_says_how_to_continue(kfac_run, runner, done, hint):
    runner.behave, runner.done = lambda config: "target not reached", done
    assert ("continues from here" in kfac_run("experiment=smoke", "target_error=0").out) == hint


def test_a_required_target_without_a_target_is_refused(kfac_run, runner, tmp_path):
    answer = kfac_run("experiment=smoke", "require_target=true")
    line = "kfac-run: error: require_target=true: needs target_error; set it to a number\n"
    assert (answer.code, answer.err) == (1, line)
    assert not list(tmp_path.iterdir())


def test_in_a_sweep_a_job_that_misses_a_required_target_keeps_its_result(
    kfac_run, runner, tmp_path
):
    runner.behave = lambda config: "target not reached" if config.seed == 1 else "target reached"
    answer = kfac_run("-m", *REQUIRED, "seed=0,1,2", "hydra.sweep.dir=sweep")
    assert answer.code == 1
    assert [config.seed for config, _ in runner.calls] == [0, 1, 2]
    [line] = answer.err.splitlines()
    assert "seed=1): target_error=0.5: not reached, the best training error is 1.500" in line
    assert not list(tmp_path.glob("sweep/*/error.log"))


def fail_with(error):
    def behave(config):
        raise error

    return behave


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("faces.pkz: is truncated"), "faces.pkz: is truncated"),
        (OSError(28, "No space left on device", "metrics.csv"), "metrics.csv: No space left on"),
        (MemoryError(), "out of memory: set a smaller chunk_size or use a smaller network"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            "out of memory: set a smaller chunk_size",
        ),
    ],
)
def test_a_mistake_or_a_full_machine_is_one_line(kfac_run, runner, tmp_path, error, line):
    runner.behave = fail_with(error)
    answer = kfac_run("experiment=smoke", "hydra.run.dir=mine")
    assert answer.code == 1
    assert answer.err.startswith(f"kfac-run: error: {line}")
    assert answer.err.count("\n") == 1
    assert type(error).__name__ in (log := (tmp_path / "mine/error.log").read_text()) or line in log


def test_a_bug_shows_its_traceback_and_leaves_it_in_the_folder(kfac_run, runner, tmp_path):
    runner.behave = fail_with(ZeroDivisionError("a\nbug"))
    answer = kfac_run("experiment=smoke", "hydra.run.dir=mine")
    assert answer.code == 1
    assert "Traceback" in answer.err
    assert answer.err.endswith("\nkfac-run: error: ZeroDivisionError: a bug\n")
    assert "in behave" in (tmp_path / "mine/error.log").read_text()


def test_progress_shows_before_torch_loads_and_releases_the_terminal(kfac_run, runner):
    runner.behave = fail_with(ZeroDivisionError("a bug"))
    kfac_run("experiment=smoke")
    assert runner.shown == ["curves, kfac_tridiag", "closed"]


def test_ctrl_c_before_the_loop_is_an_interruption_too(kfac_run, runner):
    runner.behave = fail_with(KeyboardInterrupt())
    answer = kfac_run("experiment=smoke", "hydra.run.dir=mine")
    assert (answer.code, answer.err) == (130, "kfac-run: interrupted\n")
    assert answer.out == "\n  kfac-run resume=mine  starts it again\n"


def test_ctrl_c_before_the_loop_of_a_job_says_how_the_sweep_is_resumed(kfac_run, runner):
    runner.behave = fail_with(KeyboardInterrupt())
    answer = kfac_run("-m", "experiment=smoke", "seed=0,1", "hydra.sweep.dir=sweep")
    assert answer.code == 130
    assert "\n  kfac-run resume=sweep/0_seed=0  starts it again\n" in answer.out
    assert "\n  kfac-run -m resume=sweep  does the jobs that are left\n" in answer.out


def test_a_sweep_that_goes_on_after_a_time_limit_does_not_say_how_it_is_resumed(kfac_run, runner):
    runner.behave = lambda config: "time limit reached"
    answer = kfac_run("-m", "experiment=smoke", "seed=0,1", "hydra.sweep.dir=sweep")
    assert answer.code == 0
    assert "kfac-run resume=sweep/0_seed=0  continues from here\n" in answer.out
    assert "-m resume=" not in answer.out


def test_a_signal_to_a_job_that_submitit_started_is_a_failure_of_that_job(
    kfac_run, runner, monkeypatch
):
    """Neither submitit nor Hydra hands a KeyboardInterrupt on to the command."""
    monkeypatch.setattr(CurrentJob, "beside_others", lambda self: True)
    monkeypatch.setattr(jobs, "submitted", lambda: True)
    runner.behave = lambda config: "terminated" if config.seed == 0 else "finished"
    answer = kfac_run("-m", "experiment=smoke", "seed=0,1", "hydra.sweep.dir=sweep")
    assert answer.code == 1
    assert "job 0 (seed=0): interrupted; kfac-run -m resume=sweep continues it" in answer.err


def test_the_stub_and_the_runner_agree_on_what_a_run_returns(tmp_path):
    from kfac_cli.run.runner import RunResult

    fields = set(RunResult.__dataclass_fields__)
    assert {"status", "best_train_error", "signal"} <= fields
    assert RunConfig.__dataclass_params__.frozen
