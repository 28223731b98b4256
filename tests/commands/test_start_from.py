"""start_from=: a new run begins where another one was, bit for bit where nothing is changed."""

import contextlib
import io
import json
import os
import shutil

import numpy as np
import pytest
import torch
from soak.compare import metrics, newest_checkpoint, parameters, place_of_difference
from soak.experiment import composed, overrides, prepare, write_cases

from kfac_cli.checkpoint.contents import FORMAT
from kfac_cli.checkpoint.folder import checkpoint_iterations
from kfac_cli.checkpoint.tree import read_tree, write_tree
from kfac_cli.config.validation import validate
from kfac_cli.engine.declaration import declared_fields
from kfac_cli.engine.registry import OPTIMIZERS
from kfac_cli.recording.csv_table import read_table
from kfac_cli.recording.progress import Progress
from kfac_cli.run.runner import run
from kfac_cli.run.session import Session

HALF, WHOLE = 12, 24
CONTINUED = "starting from iteration 12 of half: parameters, average, mini-batches and the "
ANEW = (
    "starting from iteration 12 of half: parameters, average and mini-batches; the optimizer's "
    "state is not taken over, that run had "
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "cases.npz"
    write_cases(path)
    return path


def words_of(file, optimizer="kfac_tridiag"):
    """The command line of the small experiment; torch's optimizers share all but their options."""
    words = overrides(file, optimizer if optimizer != "adam" else "kfac_tridiag")
    if optimizer == "adam":
        words = [w for w in words if not w.startswith("optimizer")] + ["optimizer=adam"]
    return [*words, "tensorboard=false", "evaluate_every=6"]


@pytest.fixture(scope="module")
def half_folder(file, tmp_path_factory):
    """The folder of a run of 12 iterations with an optimizer."""
    root = tmp_path_factory.mktemp("half")

    def folder(optimizer):
        if not (root / optimizer).exists():
            start(root / optimizer, [*words_of(file, optimizer), f"iterations={HALF}"])
        return root / optimizer

    return folder


def start(folder, words):
    """Start a run as kfac-run does, but faster; what it shows on the terminal."""
    config = validate(composed(tuple(words)))
    prepare(folder, words)
    terminal = io.StringIO()
    with Progress(config.iterations, terminal) as progress:
        progress.start(config.title)
        with contextlib.redirect_stdout(io.StringIO()):
            run(config, folder, progress)
    return terminal.getvalue()


@pytest.fixture
def half(half_folder, tmp_path, monkeypatch):
    """The folder of such a run, beside which others are made."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(half_folder("kfac_tridiag"), tmp_path / "half")


# The same as the other run


@pytest.mark.parametrize("optimizer", ["kfac_tridiag", "kfac_diag", "nesterov_sgd", "adam"])
def test_with_no_changed_setting_it_equals_the_longer_run(
    file, half_folder, tmp_path, monkeypatch, optimizer
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(half_folder(optimizer), tmp_path / "half")
    words = [*words_of(file, optimizer), f"iterations={WHOLE}"]
    if optimizer == "nesterov_sgd":  # its momentum depends on the number of iterations
        words.append("optimizer.final_iterations=0")
        shutil.rmtree(tmp_path / "half")
        start(tmp_path / "half", [*words, f"iterations={HALF}"])
    start(tmp_path / "whole", words)
    shown = start(tmp_path / "new", [*words, "start_from=half"])
    assert CONTINUED in shown
    assert metrics(tmp_path / "new") == metrics(tmp_path / "whole")[HALF:]
    assert [row["iteration"] for row in metrics(tmp_path / "new")] == list(range(13, 25))
    assert place_of_difference(parameters(tmp_path / "new"), parameters(tmp_path / "whole")) is None
    new, whole = (newest_checkpoint(tmp_path / name) for name in ("new", "whole"))
    assert (new["session"].pop("origin"), whole["session"].pop("origin")) == (HALF, 0)
    counts = [each["session"]["best"].pop("evaluations") for each in (new, whole)]
    assert counts == [2, 4]
    assert place_of_difference(new, whole) is None


def test_the_other_run_stays_as_it_was(file, half, tmp_path):
    before = {path: path.read_bytes() for path in half.rglob("*") if path.is_file()}
    start(tmp_path / "new", [*words_of(file), "start_from=half"])
    assert before == {path: path.read_bytes() for path in half.rglob("*") if path.is_file()}


def test_a_checkpoint_can_be_named(file, half, tmp_path):
    words = words_of(file)
    start(tmp_path / "long", [*words, "checkpoint.every=5"])
    assert checkpoint_iterations(tmp_path / "long") == [24, 20]
    path = tmp_path / "long/checkpoint-20.safetensors"
    shown = start(tmp_path / "new", [*words, f"start_from={path}"])
    assert "starting from iteration 20 of long/checkpoint-20.safetensors: " in shown
    assert metrics(tmp_path / "new") == metrics(tmp_path / "long")[20:]


def test_a_damaged_newest_checkpoint_is_skipped(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start(tmp_path / "long", [*words_of(file), "checkpoint.every=5"])
    damage(tmp_path / "long/checkpoint-24.safetensors")
    shown = start(tmp_path / "new", [*words_of(file), "start_from=long"])
    assert "starting from iteration 20 of long: " in shown


# Changed settings


def batches(folder):
    return [(row["iteration"], row["batch_size"], row["cases"]) for row in metrics(folder)]


def test_any_setting_may_differ_from_the_same_point_on_the_same_mini_batches(file, half, tmp_path):
    words = [*words_of(file), "start_from=half"]
    start(tmp_path / "same", words)
    assert CONTINUED in start(tmp_path / "other", [*words, "optimizer.t3=1"])
    same, other = metrics(tmp_path / "same"), metrics(tmp_path / "other")
    assert batches(tmp_path / "same") == batches(tmp_path / "other")
    assert same[0]["objective"] == other[0]["objective"]
    assert same[-1]["objective"] != other[-1]["objective"]


def test_it_may_have_another_preset(file, half, tmp_path):
    """The optimizer's state is taken over, lambda too; the values that follow are the preset's."""
    own = ("optimizer.lambda_initial", "polyak.start")
    words = [*(w for w in words_of(file) if not w.startswith(own)), "start_from=half"]
    for preset in ("default", "companion"):
        assert CONTINUED in start(tmp_path / preset, [*words, f"preset={preset}"])
    default, companion = metrics(tmp_path / "default"), metrics(tmp_path / "companion")
    assert default[0]["objective"] == companion[0]["objective"]
    assert default[0]["lambda"] == companion[0]["lambda"]
    assert default[0]["alpha"] != companion[0]["alpha"]  # tau_2 = 1
    session = read_tree(tmp_path / "companion/checkpoint-24.safetensors")
    assert session["config"]["preset.name"] == "companion"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (["optimizer=kfac_diag"], "optimizer.inverse=block_tridiagonal"),
        (["optimizer=adam"], "optimizer.kind=kfac"),
        (["optimizer=nesterov_sgd"], "optimizer.kind=kfac"),
    ],
)
def test_an_optimizer_of_another_kind_begins_anew_at_the_same_parameters(
    file, half, tmp_path, changes, reason
):
    specific = [w for w in words_of(file) if not w.startswith("optimizer")]
    words = [*specific, "start_from=half", *changes]
    assert f"{ANEW}{reason}" in start(tmp_path / "new", words)
    start(tmp_path / "same", [*words_of(file), "start_from=half"])
    assert batches(tmp_path / "new") == batches(tmp_path / "same")
    first, other = metrics(tmp_path / "new")[0], metrics(tmp_path / "same")[0]
    assert first["objective"] == other["objective"]
    session = read_tree(tmp_path / "new/checkpoint-24.safetensors")["session"]
    assert (session["earlier"], session["origin"]) == (12, 12)


def test_the_average_is_taken_over_by_another_optimizer_too(file, half, tmp_path):
    words = [w for w in words_of(file) if not w.startswith("optimizer")]
    frozen = ["optimizer=adam", "optimizer.arguments.lr=0", "polyak.decay=0.5"]
    start(tmp_path / "new", [*words, *frozen, "start_from=half", "iterations=13"])
    before, after = parameters(half), parameters(tmp_path / "new")
    assert all(map(torch.equal, before["parameters"], after["parameters"]))
    pairs = zip(before["average"], before["parameters"], strict=True)
    expected = [torch.lerp(average, iterate, 0.5) for average, iterate in pairs]
    assert all(map(torch.equal, expected, after["average"]))


def test_a_switch_that_adds_to_the_state_begins_anew_and_a_number_does_not(file, tmp_path):
    folder = tmp_path / "half"
    adam = words_of(file, "adam")
    start(folder, [*adam, f"iterations={HALF}"])
    words = [*adam, f"start_from={folder}"]
    shown = start(tmp_path / "rate", [*words, "optimizer.arguments.lr=0.1"])
    assert "and the optimizer's state (torch's state)" in shown
    shown = start(tmp_path / "switch", [*words, "+optimizer.arguments.amsgrad=true"])
    assert "that run had optimizer.arguments.amsgrad=false" in shown


def test_an_argument_that_was_not_set_has_torchs_default(file, tmp_path):
    """Muon has momentum 0.95, and so the same state with another one."""
    folder = tmp_path / "half"
    muon = [w for w in words_of(file) if not w.startswith("optimizer")]
    start(folder, [*muon, "optimizer=muon", f"iterations={HALF}"])
    words = [*muon, "optimizer=muon", f"start_from={folder}"]
    shown = start(tmp_path / "other", [*words, "+optimizer.arguments.momentum=0.9"])
    assert "and the optimizer's state (torch's state)" in shown


@pytest.mark.parametrize("optimizer", ["kfac_tridiag", "adam"])
def test_it_may_have_another_precision(file, half_folder, tmp_path, optimizer):
    words = [*words_of(file, optimizer), f"start_from={half_folder(optimizer)}", "dtype=float64"]
    start(tmp_path / "new", words)
    assert {w.dtype for w in parameters(tmp_path / "new")["parameters"]} == {torch.float64}


def test_it_may_have_another_schedule(file, half, tmp_path):
    words = [w for w in words_of(file) if not w.startswith("schedule")]
    start(tmp_path / "new", [*words, "schedule=adaptive", "schedule.initial=7", "start_from=half"])
    assert metrics(tmp_path / "new")[0]["batch_size"] == 7


def test_the_best_parameters_are_those_of_the_new_run_alone(file, half, tmp_path, monkeypatch):
    step = Session.step

    def spoiled(self):
        record = step(self)
        self.optimizer.parameters = [3 * w for w in self.optimizer.parameters]
        self.average.parameters = list(self.optimizer.parameters)
        return record

    monkeypatch.setattr(Session, "step", spoiled)
    start(tmp_path / "new", [*words_of(file), "start_from=half", "iterations=13"])
    new, old = parameters(tmp_path / "new"), parameters(half)
    assert all(map(torch.equal, new["best"], new["parameters"]))
    assert new["errors"]["best"]["train_error"] > old["errors"]["best"]["train_error"]
    assert new["errors"]["best"]["iteration"] == 13


# Resuming it


@pytest.mark.parametrize("optimizer", ["kfac_tridiag", "adam"])
def test_it_can_be_resumed_without_the_other_run(kfac_run, file, half, tmp_path, optimizer):
    """Bit for bit, whether or not the optimizer's state was taken over."""
    words = [w for w in words_of(file, optimizer) if not w.startswith("iterations")]
    words += [f"start_from={half}"]
    start(tmp_path / "whole", [*words, "iterations=24"])
    start(tmp_path / "new", [*words, "iterations=18"])
    shutil.rmtree(half)
    answer = kfac_run("resume=new", "iterations=24")
    assert answer.code == 0, answer.err
    assert "resuming from iteration 18\n" in answer.err
    assert "warn" not in (tmp_path / "new/run.log").read_text().lower()
    assert metrics(tmp_path / "new") == metrics(tmp_path / "whole")
    new, whole = (newest_checkpoint(tmp_path / name) for name in ("new", "whole"))
    assert place_of_difference(new, whole) is None


def test_killed_before_its_first_checkpoint_it_starts_from_the_other_run_again(
    kfac_run, file, half, tmp_path
):
    words = [*words_of(file), f"start_from={half}"]
    start(tmp_path / "whole", words)
    prepare(tmp_path / "killed", words)
    answer = kfac_run("resume=killed")
    assert answer.code == 0, answer.err
    assert CONTINUED in answer.err
    assert metrics(tmp_path / "killed") == metrics(tmp_path / "whole")
    assert "no rows" not in (tmp_path / "killed/run.log").read_text()


def test_the_state_it_starts_with_is_a_checkpoint_of_its_own(file, half, tmp_path, monkeypatch):
    monkeypatch.setattr(Session, "step", None)
    with pytest.raises(TypeError):
        start(tmp_path / "new", [*words_of(file), "start_from=half"])
    assert checkpoint_iterations(tmp_path / "new") == [12]


def test_resuming_cannot_change_where_it_started(kfac_run, half):
    answer = kfac_run("resume=half", "start_from=elsewhere", "iterations=20")
    assert answer.code == 1
    assert answer.err.startswith(
        "kfac-run: error: start_from=elsewhere (was null): a resumed run keeps its settings"
    )


@pytest.mark.parametrize("limit", ["target_error=1e9", "max_seconds=1e-9"])
def test_it_does_an_iteration_before_anything_can_stop_it(file, half, tmp_path, limit):
    start(tmp_path / "new", [*words_of(file), "start_from=half", limit])
    rows = metrics(tmp_path / "new")
    assert [row["iteration"] for row in rows][:1] == [13]
    evaluations = read_table(tmp_path / "new/evaluations.csv")
    assert all(row["iteration"] > 12 for row in evaluations)


def test_the_record_of_where_it_started_holds_in_any_folder(kfac_run, file, half, tmp_path):
    words = [*words_of(file), "start_from=half", "iterations=14", "hydra.run.dir=new"]
    assert kfac_run(*words).code == 0
    record = (tmp_path / "new/config.yaml").read_text()
    assert f"start_from: {tmp_path}/half\n" in record


# The command


def test_a_sweep_asks_what_each_choice_does(kfac_run, file, half, tmp_path):
    words = [*words_of(file), "start_from=half", "hydra.sweep.dir=sweep"]
    answer = kfac_run("-m", *words, "optimizer.t3=1,5", "iterations=14")
    assert answer.code == 0, answer.err
    for job in ("0_optimizer.t3=1", "1_optimizer.t3=5"):
        assert [row["iteration"] for row in metrics(tmp_path / "sweep" / job)] == [13, 14]
        log = (tmp_path / "sweep" / job / "run.log").read_text()
        assert f"{CONTINUED}optimizer's state (factors, damping, momentum)" in log
        summary = json.loads((tmp_path / "sweep" / job / "summary.json").read_text())
        assert summary["iterations"] == 14


def test_a_job_of_a_sweep_is_a_starting_point_as_it_is_named(kfac_run, file, tmp_path):
    assert kfac_run("-m", *words_of(file), "seed=1,2", "l2=0,1", "hydra.sweep.dir=s").code == 0
    jobs = "s/0_seed=1,l2=0,s/3_seed=2,l2=1"
    answer = kfac_run("-m", f"start_from={jobs}", *words_of(file), "iterations=26")
    assert answer.code == 0, answer.err
    assert "starting from iteration 24 of s/0_seed=1,l2=0: " in answer.err
    assert "starting from iteration 24 of s/3_seed=2,l2=1: " in answer.err


# What is refused


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def older(path):
    tree = read_tree(path)
    with path.open("wb") as out:
        write_tree(out, {**tree, "format": FORMAT - 1})


NETWORK = ["dataset.layer_sizes=[12,5,3,6,12]"]
CHECKPOINT = "half/checkpoint-12.safetensors"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            [*NETWORK, "start_from=half"],
            "dataset.layer_sizes=[12,5,3,6,12]: not the network of start_from=half, which had "
            "dataset.layer_sizes=[12,6,3,6,12]",
        ),
        (
            ["dataset.output=gaussian", "start_from=half"],
            "dataset.output=gaussian: not the network of start_from=half, which had "
            "dataset.output=bernoulli",
        ),
        (
            ["iterations=12", "start_from=half"],
            "iterations=12: must be larger than 12, at which start_from=half is: iterations are "
            "counted from that run's beginning",
        ),
        (["start_from=nowhere"], "start_from=nowhere: no such folder or file"),
        (
            ["start_from=empty"],
            "start_from=empty: holds no checkpoint; give the folder of a run that kept one (with "
            "checkpoint.keep=0 a run that ends as planned keeps none)",
        ),
        (
            ["start_from=half/config.yaml"],
            "start_from=half/config.yaml: is damaged (its checksum does not match)",
        ),
        (["start_from=pipe"], "start_from=pipe: cannot be read (it is not a file)"),
        (["start_from="], 'start_from="": must be null or a path'),
        (["start_from=3"], "start_from=3: must be null or a path"),
    ],
)
def test_what_does_not_fit_is_one_line(kfac_run, file, half, tmp_path, changes, line):
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    answer = kfac_run(*words_of(file), *changes)
    assert answer.code == 1
    assert answer.err.splitlines()[-1] == f"kfac-run: error: {line}"
    assert "Traceback" not in answer.err
    assert not list(tmp_path.glob("outputs/**/metrics.csv"))


@pytest.mark.parametrize(
    ("spoil", "path", "line"),
    [
        (damage, CHECKPOINT, f"start_from={CHECKPOINT}: is damaged (its checksum does not match)"),
        (
            damage,
            "half",
            "half: no checkpoint can be used: checkpoint-12.safetensors is damaged (its checksum "
            "does not match)",
        ),
        (
            older,
            "half",
            "start_from=half: its checkpoint is from another version of kfac-run (its format is "
            f"not {FORMAT})",
        ),
    ],
)
def test_a_checkpoint_that_cannot_be_used_is_one_line(
    kfac_run, file, half, tmp_path, spoil, path, line
):
    spoil(tmp_path / CHECKPOINT)
    answer = kfac_run(*words_of(file), f"start_from={path}")
    assert (answer.code, answer.err.splitlines()[-1]) == (1, f"kfac-run: error: {line}")


@pytest.mark.parametrize("optimizer", ["kfac_tridiag", "adam"])
@pytest.mark.parametrize("change", [{"parameters": [torch.zeros(2, 2)]}, {"average": {}}])
def test_a_state_of_another_form_is_one_line(kfac_run, file, half, tmp_path, optimizer, change):
    tree = read_tree(tmp_path / CHECKPOINT)
    tree["session"] |= change
    if "parameters" in change:
        tree["session"]["optimizer"] |= change
    with (tmp_path / CHECKPOINT).open("wb") as out:
        write_tree(out, tree)
    answer = kfac_run(*words_of(file, optimizer), "start_from=half")
    assert answer.code == 1
    line = f"start_from={CHECKPOINT}: cannot be used: session."
    assert answer.err.splitlines()[-1].startswith(f"kfac-run: error: {line}")
    assert answer.err.endswith("; name another checkpoint\n")


@pytest.mark.parametrize("options", [kind.options for kind in OPTIMIZERS.values()])
def test_every_optimizer_says_what_its_state_is_and_which_options_decide_its_form(options):
    assert options.STATE
    assert {name.partition(".")[0] for name in options.STRUCTURE} <= declared_fields(options).keys()


def test_other_data_are_refused(kfac_run, file, half, tmp_path):
    with np.load(file) as arrays:
        others = {name: arrays[name] for name in arrays}
    np.savez(tmp_path / "fewer.npz", **others | {"train_inputs": others["train_inputs"][:70]})
    shutil.copy(file, tmp_path / "moved.npz")
    words = [*words_of(file), "start_from=half", "iterations=14"]
    answer = kfac_run(*words, "dataset.file=fewer.npz")
    assert answer.code == 1
    line = answer.err.splitlines()[-1]
    assert line.startswith(
        "kfac-run: error: dataset.name=arrays: not the data of start_from=half: train_inputs has "
        "the shape [70, 12] instead of [80, 12]; that run had dataset.file="
    )
    assert kfac_run(*words, "dataset.file=moved.npz").code == 0
