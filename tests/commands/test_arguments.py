"""Settings that were written like options: none is ignored, none is misread."""

import pytest


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        (["--iterations=10"], "iterations=10"),
        (["-iterations=10"], "iterations=10"),
        (["--iterations", "10"], "iterations=10"),
        (["-iterations", "10"], "iterations=10"),
        (["--iterations"], "iterations=VALUE"),
        (["--iterations", "seed=1"], "iterations=VALUE"),
        (["seed=1", "--iterations=10"], "iterations=10"),
        # those of which Hydra's short options would read the beginning
        (["-polyak.decay=0.5"], "polyak.decay=0.5"),
        (["-checkpoint.every=3"], "checkpoint.every=3"),
        (["-chunk_size=3"], "chunk_size=3"),
        (["-max_seconds=3"], "max_seconds=3"),
        (["-resume=run"], "resume=run"),
        (["-schedule.size=3"], "schedule.size=3"),
        (["-dataset=mnist"], "dataset=mnist"),
        (["-hydra.run.dir=x"], "hydra.run.dir=x"),
        (["--cfg", "job", "-polyak.decay=0.5"], "polyak.decay=0.5"),
        # those whose name begins as, or is the beginning of, a long option's
        (["--experiment=smoke"], "experiment=smoke"),
        (["--resume=run"], "resume=run"),
        (["--chunk-size=3"], "chunk_size=3"),
        (["-+optimizer.arguments.lr=3"], "+optimizer.arguments.lr=3"),
    ],
)
def test_a_setting_with_dashes_is_refused_and_written_correctly(
    kfac_run, runner, tmp_path, arguments, written
):
    answer = kfac_run(*arguments)
    assert answer.code == 1
    assert answer.err.endswith(f": settings have no dashes; write {written}\n")
    assert answer.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["-polyak"],
        ["-preset"],
        ["-p=x"],
        ["-p", "seed=1"],
        ["-mpolyak"],
        ["-rp=x"],
        ["--package=optimizer"],
        ["-nope=3"],
        ["-inope=3"],
        ["-cnope=3"],
        ["-mseed=3"],
        ["-rseed=3"],
        ["-scseed=3"],
        ["-hseed=3"],
        ["--nope=3"],
        ["--cfg", "seed=3"],
        ["--info", "seed=3"],
    ],
)
def test_no_option_swallows_other_text(kfac_run, runner, tmp_path, arguments):
    answer = kfac_run(*arguments)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("kfac-run: error: ")
    assert answer.err.count("\n") == 1
    assert runner.calls == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--pack=x", "--multi", "--vers", "--exp=x", "--reso", "--inf"])
def test_an_option_is_written_in_full(kfac_run, runner, option):
    answer = kfac_run(option)
    assert answer.code == 1
    assert "not recognized here" in answer.err
    assert runner.calls == []


def test_a_part_of_the_settings_is_still_printed(kfac_run):
    answer = kfac_run("--cfg", "job", "-p", "polyak")
    assert answer.code == 0
    assert "decay: 0.99" in answer.out
