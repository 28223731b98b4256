"""kfac-run with the real runner: every experiment, and how a run ends."""

import json

import pytest

from kfac_cli.config.choices import choices
from kfac_cli.config.compose import load_config
from kfac_cli.data.options import CurvesOptions
from kfac_cli.data.registry import DATASETS
from kfac_cli.recording.csv_table import read_table
from kfac_cli.run.session import Session
from kfac_cli.torch_module import load_network


@pytest.mark.parametrize(
    ("experiment", "schedule"),
    [
        *((experiment, "fixed") for experiment in choices("experiment")),
        *(("mnist_nesterov_sgd", schedule) for schedule in choices("schedule")),
    ],
)
def test_every_experiment_takes_another_schedule(experiment, schedule):
    config = load_config([f"experiment={experiment}", f"schedule={schedule}"])
    assert config.schedule == load_config([f"schedule={schedule}"]).schedule


TINY = {
    "curves": ["dataset.train_cases=60", "dataset.test_cases=20"],
    "mnist": ["dataset.train_cases=60", "dataset.test_cases=20"],
    "mnist_labels": ["dataset.train_cases=60", "dataset.test_cases=20"],
    "faces": [
        "dataset.crops_per_photograph=2",
        "dataset.train_cases=60",
        "dataset.test_cases=20",
    ],
}


DRAWN = ("smoke", "curves_kfac_tridiag", "mnist_kfac_diag", "faces_nesterov_sgd")
DRAWN += ("mnist_labels_kfac_tridiag",)
"""The experiments whose picture is drawn: one of each problem."""

RUN = ("curves_", "mnist_labels_", *DRAWN)
"""The experiments that are run, or how their names begin: the others choose among the same."""


@pytest.mark.parametrize(
    "experiment", [name for name in choices("experiment") if name.startswith(RUN)]
)
def test_an_experiment_of_each_kind_runs(kfac_run, tmp_path, request, experiment):
    if experiment in DRAWN:
        request.getfixturevalue("pictures")
    config = load_config([f"experiment={experiment}"])
    problem, widths, schedule = config.dataset.name, config.dataset.layer_sizes, config.schedule
    data = tmp_path if problem == "curves" else request.getfixturevalue("real_data_folder")
    batches = ["schedule.initial=20"] if schedule.kind == "exponential" else ["schedule.size=30"]
    answer = kfac_run(
        f"experiment={experiment}",
        "iterations=2",
        f"data_dir={data}",
        f"dataset.layer_sizes=[{widths[0]},5,3,{widths[-1]}]",
        "dataset.activations=[logistic,linear]",
        "hydra.run.dir=run",
        "tensorboard=false",
        *TINY[problem],
        *batches,
    )
    assert answer.code == 0, answer.err
    assert [row["iteration"] for row in read_table(tmp_path / "run/metrics.csv")] == [1, 2]
    assert json.loads((tmp_path / "run/summary.json").read_text())["status"] == "finished"
    names = {"config.yaml", "evaluations.csv", "run.log"}
    names |= {"run.png"} if experiment in DRAWN else set()
    assert names <= {path.name for path in (tmp_path / "run").iterdir()}


def test_a_run_that_ends_as_planned_keeps_no_checkpoint_if_it_is_told_so(kfac_run, tmp_path):
    words = ("experiment=smoke", "checkpoint.keep=0", "checkpoint.every=1", "hydra.run.dir=mine")
    assert kfac_run(*words, "iterations=2", "tensorboard=false").code == 0
    assert list((tmp_path / "mine").glob("checkpoint*")) == []
    assert load_network(tmp_path / "mine/parameters.pt") is not None
    answer = kfac_run("resume=mine")
    assert answer.out == (
        "mine: finished after 2 iterations; it holds no checkpoint, so that nothing continues it\n"
    )
    answer = kfac_run("resume=mine", "iterations=3")
    assert answer.err == (
        "kfac-run: error: mine: has ended and holds no checkpoint to resume from (checkpoint.keep="
        "0 keeps none once a run has ended as planned)\n"
    )
    answer = kfac_run("experiment=smoke", "start_from=mine")
    assert "start_from=mine: holds no checkpoint; give the folder of a run that kept one" in (
        answer.err
    )


def test_a_run_that_may_go_on_keeps_its_checkpoint_in_any_case(kfac_run, tmp_path):
    words = ("experiment=smoke", "checkpoint.keep=0", "max_seconds=1e-9", "hydra.run.dir=mine")
    assert kfac_run(*words, "tensorboard=false").code == 0
    assert [path.name for path in (tmp_path / "mine").glob("checkpoint*")] == [
        "checkpoint-1.safetensors"
    ]


def test_a_failed_job_leaves_a_summary_with_its_status(kfac_run, tmp_path, monkeypatch):
    step = Session.step

    def fails_at_iteration_6_of_8(self):
        if self.iteration == 5 and self.schedule.size(1) == 100:
            raise MemoryError
        return step(self)

    monkeypatch.setattr(Session, "step", fails_at_iteration_6_of_8)
    words = ["experiment=smoke", "iterations=8", "tensorboard=false", "hydra.sweep.dir=sweep"]
    assert kfac_run("-m", *words, "schedule.initial=50,100").code == 1
    summary = json.loads((tmp_path / "sweep/1_schedule.initial=100/summary.json").read_text())
    assert summary["status"] == "failed"
    assert summary["reason"].startswith("out of memory: set a smaller chunk_size")
    assert (summary["iterations"], summary["iterations_planned"]) == (5, 8)
    assert summary["best_train_error"] > 0
    assert summary["settings"]["schedule.initial"] == 100
    monkeypatch.setattr(Session, "step", step)
    answer = kfac_run("-m", "resume=sweep")
    assert answer.code == 0, answer.err
    summary = json.loads((tmp_path / "sweep/1_schedule.initial=100/summary.json").read_text())
    assert (summary["status"], summary["iterations"]) == ("finished", 8)


def test_the_smoke_experiment_needs_no_files(kfac_run, tmp_path):
    answer = kfac_run("experiment=smoke", f"data_dir={tmp_path}/data")
    assert answer.code == 0
    assert "finished" in answer.out
    assert [str(path.name) for path in (tmp_path / "data").iterdir()] == ["curves"]


@pytest.mark.parametrize(
    ("setup", "named"),
    [
        (["dataset=arrays", "dataset.file=none.npz"], "none.npz"),
        (["device=cuda"], "device=cuda"),
        (["device=cpu", "matmul=tf32"], "matmul=tf32: is for a GPU; on a CPU set matmul=auto"),
        (
            ["device=cpu", "dtype=float64", "matmul=onednn"],
            "matmul=onednn: is for device=cpu and dtype=float32; set matmul=auto",
        ),
    ],
)
def test_an_error_found_only_during_a_run_is_one_line_too(kfac_run, tmp_path, setup, named):
    if named == "device=cuda" and __import__("torch").cuda.is_available():
        pytest.skip("there is a CUDA device here")
    shape = ["dataset.layer_sizes=[784,3,784]", "dataset.activations=[linear]"]
    shape += ["dataset.output=gaussian"]
    arguments = ["iterations=2", f"data_dir={tmp_path}", *setup, *shape]
    config = load_config(arguments)
    answer = kfac_run(*arguments)
    assert answer.code == 1
    progress, line = answer.err.splitlines()
    assert progress.startswith(config.title)
    assert line.startswith("kfac-run: error: ")
    assert named in line
    [summary] = tmp_path.glob("outputs/**/summary.json")
    assert json.loads(summary.read_text())["status"] == "failed"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["optimizer=torch", "optimizer.algorithm=LBFGS"],
            "optimizer.algorithm=LBFGS: does not fit: it evaluates the objective several times a "
            "step",
        ),
        (
            ["optimizer=torch", "optimizer.algorithm=os.system"],
            "optimizer.algorithm=os.system: must be Adadelta, Adafactor, ",
        ),
        (
            ["optimizer=adam", "+optimizer.arguments.nope=1"],
            "optimizer.arguments.nope=1: Adam has no such argument; it has lr, betas, ",
        ),
        (
            ["optimizer=adam", "optimizer.arguments.lr=-1"],
            "optimizer.arguments={lr:-1}: Adam refuses them: Invalid learning rate: -1",
        ),
    ],
)
def test_what_only_torch_can_refuse_is_refused_before_any_data_are_loaded(
    kfac_run, tmp_path, monkeypatch, words, line
):
    monkeypatch.setitem(DATASETS, CurvesOptions, None)
    answer = kfac_run(f"data_dir={tmp_path}", *words)
    assert answer.code == 1
    assert answer.err.splitlines()[-1].startswith(f"kfac-run: error: {line}")
    assert "Traceback" not in answer.err
