"""Mistakes on the command line: one line, exit code 1, and no folder."""

import os
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

SHIPPED = "kfac-run --cfg job lists them all"


MISTAKES = [
    (["iterations=0"], "iterations=0: must be a whole number from 1 to 1000000000"),
    (["iterations=abc"], "iterations=abc: must be a whole number from 1 to 1000000000"),
    (["chunk_size=-5"], "chunk_size=-5: must be auto or a whole number from 1 to 1000000000"),
    (["optimizer.tau1=2"], "optimizer.tau1=2: must be a number in (0, 1]"),
    (["optimizer.t2=32"], "optimizer.t2=32: must be a multiple of optimizer.t3, which is 5"),
    (["iteration=5"], f"iteration=5: no such setting; did you mean iterations? {SHIPPED}"),
    (
        ["optimizer.mu_max=0.9"],
        "optimizer.mu_max=0.9: no such setting with this choice of optimizer, but with "
        f"optimizer=nesterov_sgd; {SHIPPED}",
    ),
    (
        ["optimizer=adam", "optimizer.arguments.eps=1e-6"],
        "optimizer.arguments.eps=1e-6: is not there yet; add it with a plus: "
        "'+optimizer.arguments.eps=1e-6'",
    ),
    (
        ["optimizer=adam", "optimizer.lr=0.1"],
        f"optimizer.lr=0.1: no such setting; did you mean optimizer.arguments.lr? {SHIPPED}",
    ),
    (
        ["optimizer=muon", "optimizer.learning_rate=0.1"],
        "optimizer.learning_rate=0.1: no such setting; did you mean optimizer.arguments.lr? "
        f"{SHIPPED}",
    ),
    (
        ["optimizer=adam", "lr=0.1"],
        f"lr=0.1: no such setting; did you mean optimizer.arguments.lr? {SHIPPED}",
    ),
    (
        ["optimizer=adam", "+optimizer.lr=0.1"],
        f"optimizer.lr=0.1: no such setting; did you mean optimizer.arguments.lr? {SHIPPED}",
    ),
    (
        ["optimizer=adam", "~optimizer.lr"],
        f"~optimizer.lr: no such setting; did you mean optimizer.arguments.lr? {SHIPPED}",
    ),
    (
        ["optimizer=nesterov_sgd", "optimizer.lr=0.1"],
        f"optimizer.lr=0.1: no such setting; did you mean optimizer.learning_rate? {SHIPPED}",
    ),
    (
        ["optimizer=kfac_diag", "lr=0.1"],
        "lr=0.1: no such setting; did you mean optimizer.learning_rate, or with torch's adam, "
        f"adamw, sgd, muon optimizer.arguments.lr? {SHIPPED}",
    ),
    (
        ["optimizer=torch", "optimizer.algorithm=RMSprop", "optimizer.lr=0.1"],
        f"optimizer.lr=0.1: no such setting; did you mean +optimizer.arguments.lr? {SHIPPED}",
    ),
    (["foo/bar=1"], f"foo/bar=1: no such setting; {SHIPPED}"),
    (["optimizer={a: 1}"], f"optimizer.a: no such setting; {SHIPPED}"),
    (["~nope"], f"~nope: no such setting; {SHIPPED}"),
    (["hydra.nope=1"], f"hydra.nope=1: no such setting; {SHIPPED}"),
    (
        ["dataset@here=mnist"],
        "dataset@here=mnist: no such group of settings; the groups are dataset, preset, "
        "optimizer, schedule, experiment",
    ),
    (
        ["dataset=curvs"],
        "dataset=curvs: must be arrays, curves, curves_small, faces, idx, mnist or mnist_labels",
    ),
    (
        ["dataset=../x"],
        "dataset=../x: must be arrays, curves, curves_small, faces, idx, mnist or mnist_labels",
    ),
    (
        ["dataset="],
        'dataset="": must be arrays, curves, curves_small, faces, idx, mnist or mnist_labels',
    ),
    (
        ["dataset=3"],
        "dataset=3: must be arrays, curves, curves_small, faces, idx, mnist or mnist_labels",
    ),
    (
        ["optimizer=null"],
        "optimizer=null: must be adam, adamw, ekfac, heskes, kfac_diag, kfac_tridiag, ",
    ),
    (["+dataset=mnist"], "dataset: chosen twice; write dataset=CHOICE without a +"),
    (["~preset"], "preset: has no value; give one as preset=VALUE"),
    (["preset.tau2=1"], "preset.tau2=1: cannot be set; set optimizer.tau2 instead"),
    (["preset=papers"], "preset=papers: must be companion, default or paper"),
    (["~optimizer"], "optimizer: has no value; give one as optimizer=VALUE"),
    (
        ["seed=0,1"],
        "seed=0,1: several values, one run each, need -m (kfac-run -m ...); a list is written in "
        "brackets: [A,B]",
    ),
    (["seed=range(3)"], "seed=range(3): several values, one run each, need -m"),
    (["smoke"], "smoke: must have the form SETTING=VALUE"),
    ([""], '"": must have the form SETTING=VALUE'),
    (["iterations=[1"], "iterations=[1: cannot be read; brackets and quotes must close"),
    (["data_dir=ünï"], "data_dir=ünï: cannot be read; brackets and quotes must close"),
    (["data_dir=\udcff"], '"data_dir=\\udcff": cannot be read'),
    (["iterations=" + "9" * 5000], f"iterations={'9' * 46}...: cannot be read"),
    (["iterations=" + "[" * 3000], f"iterations={'[' * 46}...: cannot be read"),
    (["--nonsense"], "--nonsense: not recognized here; put options before the settings"),
    (["seed=0,1", "-m", "l2=0"], "l2=0: not recognized here; put options before the settings"),
    (["--cfg", "job", "--package", "nowhere"], "--package nowhere: no such part of the settings"),
    (["--cfg", "jobs"], "argument --cfg/-c: invalid choice: 'jobs'"),
    (["-m", "--cfg", "job"], "Only one of --run, --multirun, --cfg"),
    (["--config-dir", "/nowhere"], "Additional config directory '/nowhere' not found"),
    (["--experimental-rerun", "config.pickle"], "--experimental-rerun: refused, because it"),
    (["hydra.output_subdir="], "hydra.output_subdir=: cannot be set; the settings of a run are"),
    (
        ["-m", "++hydra.output_subdir=/x", "seed=0,1"],
        "++hydra.output_subdir=/x: cannot be set; the",
    ),
    (["-m", "hydra.sweeper.params={hydra.output_subdir:x}"], "hydra.sweeper.params={hydra.output"),
    (["hydra.run.dir=${nowhere}"], "Interpolation key 'nowhere' not found"),
]


@pytest.mark.parametrize(
    ("arguments", "line"), MISTAKES, ids=[ascii(" ".join(m[0])[:50]) for m in MISTAKES]
)
def test_a_mistake_on_the_command_line_is_one_line(kfac_run, runner, tmp_path, arguments, line):
    answer = kfac_run(*arguments)
    assert answer.code == 1
    assert answer.err.startswith(f"kfac-run: error: {line}")
    assert answer.err.count("\n") == 1
    assert answer.out == ""
    assert runner.calls == []
    assert list(tmp_path.iterdir()) == []


def test_an_interpolation_that_cannot_be_resolved_is_one_line(kfac_run, runner):
    answer = kfac_run("l2=${oc.env:KFAC_NOT_SET_AT_ALL}")
    assert answer.code == 1
    assert answer.err.startswith("kfac-run: error: l2: KeyError raised while resolving")
    assert answer.err.count("\n") == 1
    assert runner.calls == []


def test_a_missing_current_folder_is_one_line(kfac_run, runner, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    answer = kfac_run("experiment=smoke")
    assert answer.code == 1
    assert answer.err == (
        "kfac-run: error: the current folder: No such file or directory; "
        "change to a folder that exists\n"
    )


def test_a_folder_that_cannot_be_created_is_one_line(kfac_run, runner, tmp_path):
    (tmp_path / "outputs").write_text("a file in the way")
    answer = kfac_run("experiment=smoke")
    assert answer.code == 1
    assert re.fullmatch(r"kfac-run: error: outputs/\S+: Not a directory\n", answer.err)


def test_a_disk_that_is_full_when_a_sweep_begins_is_one_line_with_its_folder(
    kfac_run, runner, monkeypatch
):
    def save(config, path):
        raise OSError(28, "No space left on device")  # writing to an open file names none

    monkeypatch.setattr(OmegaConf, "save", save)
    answer = kfac_run("-m", "experiment=smoke", "seed=0,1", "hydra.sweep.dir=sweep")
    assert answer.err == "kfac-run: error: sweep: No space left on device\n"


def test_an_existing_folder_that_is_read_only_is_one_line(kfac_run, runner, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()

    def refused(path, **options):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "unlink", refused)
    answer = kfac_run("experiment=smoke", "hydra.run.dir=mine")
    assert answer.err == f"kfac-run: error: {tmp_path}/mine/error.log: Read-only file system\n"


def test_hydras_own_switch_for_tracebacks_still_works(kfac_run, runner, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    answer = kfac_run("dataset=curvs")
    assert answer.code == 1
    assert "Traceback" in answer.err
    assert answer.err.endswith(
        "error: dataset=curvs: must be arrays, curves, curves_small, faces, idx, mnist or "
        "mnist_labels\n"
    )
    assert os.environ["HYDRA_FULL_ERROR"] == "1"


def test_a_current_folder_that_hydra_would_take_for_a_reference_is_refused(
    kfac_run, runner, tmp_path, monkeypatch
):
    odd = tmp_path / "a${b}"
    odd.mkdir()
    monkeypatch.chdir(odd)
    answer = kfac_run("experiment=smoke")
    assert answer.code == 1
    assert answer.err == (
        "kfac-run: error: the current folder: has ${ in its path, which Hydra replaces by a "
        "setting; rename it or go elsewhere\n"
    )
    assert list(odd.iterdir()) == []
