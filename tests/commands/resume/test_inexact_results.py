"""Where the result may differ from that of an uninterrupted run, resuming says so and why."""

import json

import pytest
from soak.experiment import composed

from kfac_cli.checkpoint.compatibility import reasons_for_inexact_resume
from kfac_cli.checkpoint.contents import Contents
from kfac_cli.checkpoint.tree import read_tree
from kfac_cli.config.schema import flat_settings
from kfac_cli.config.validation import validate
from kfac_cli.engine.products import onednn_linear
from tests.commands.resume.helpers import change_checkpoint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("torch", "0.4.1"),
        ("thread_count", 77),
        ("device", "cuda"),
        ("matmul", "tf32"),
        ("kfac-run", "9.9"),
    ],
)
def test_another_machine_or_version_warns_that_the_result_may_differ(
    kfac_run, half, monkeypatch, name, value
):
    path = half / "checkpoint-12.safetensors"
    now = read_tree(path)["environment"][name]
    change_checkpoint(path, lambda tree: tree["environment"].update({name: value}))
    answer = kfac_run("resume=run", "iterations=14")
    assert answer.code == 0
    sentence = (
        f"{name} is {now} and was {value}: the result may differ from that of an uninterrupted run"
    )
    assert sentence in answer.err
    assert sentence in (half / "run.log").read_text()


@pytest.mark.parametrize(
    ("changes", "mixed"),
    [
        ({}, False),
        ({"thread_count": 77}, True),
        ({"device_name": "Another processor"}, True),
        ({"numpy": "0.1"}, True),
        ({"platform": "another"}, False),
        ({"device": "cpu:1"}, False),
    ],
)
def test_a_run_says_for_good_that_it_was_resumed_in_another_environment(
    kfac_run, half, changes, mixed
):
    """Also where the run that first said it left no summary, and with its own environment."""
    path = half / "checkpoint-12.safetensors"
    change_checkpoint(path, lambda tree: tree["environment"].update(changes))
    for iterations in (14, 16):
        assert kfac_run("resume=run", f"iterations={iterations}").code == 0
        summary = json.loads((half / "summary.json").read_text())
        assert (summary["iterations"], summary["mixed_environment"]) == (iterations, mixed)
        (half / "summary.json").unlink()


@pytest.mark.parametrize(
    ("device", "words", "expected"),
    [
        ("cuda:1", (), True),
        ("cuda", (), True),
        ("cpu:0", (), False),
        ("cuda", ("optimizer.fisher=exact",), False),
        ("cuda", ("optimizer=adam",), False),
    ],
)
def test_a_change_between_cpu_and_gpu_says_that_sampled_targets_differ(words, device, expected):
    config = validate(composed(("iterations=9", *words)))
    saved = Contents(
        iteration=4,
        config=flat_settings(config),
        environment={"device": device},
        data={},
        times={},
        session={"earlier": 0},
    )
    reasons = reasons_for_inexact_resume(saved, config, {"device": "cpu"})
    other = device != "cpu:0"
    assert (f"device is cpu and was {device}" in reasons) == other
    said = "targets are sampled differently on a CPU and on a GPU" in reasons
    assert said == expected


def test_other_matrix_products_may_be_chosen_and_warn(kfac_run, half):
    if onednn_linear() is None:
        pytest.skip("this torch has no oneDNN")
    path = half / "checkpoint-12.safetensors"
    change_checkpoint(path, lambda tree: tree["environment"].update(matmul="blas"))
    answer = kfac_run("resume=run", "iterations=14", "matmul=onednn")
    assert answer.code == 0
    assert "matmul is onednn and was blas: the result may differ" in answer.err
    assert json.loads((half / "summary.json").read_text())["matmul"] == "onednn"
    assert read_tree(half / "checkpoint-14.safetensors")["environment"]["matmul"] == "onednn"


def test_a_checkpoint_that_does_not_say_was_made_by_blas_with_its_chunk_size(kfac_run, half):
    def forget(tree):
        del tree["environment"]["matmul"], tree["config"]["matmul"]
        del tree["environment"]["chunk_size"]
        tree["config"]["chunk_size"] = 2000

    change_checkpoint(half / "checkpoint-12.safetensors", forget)
    answer = kfac_run("resume=run", "iterations=14", "matmul=blas")
    assert answer.code == 0
    assert "the result may differ" not in answer.err


def test_another_chunk_size_warns_too(kfac_run, half):
    answer = kfac_run("resume=run", "iterations=14", "chunk_size=7")
    assert answer.code == 0
    assert "chunk_size is 7 and was 2000: the result may differ" in answer.err


def test_a_chunk_size_that_was_chosen_stays(kfac_run, half):
    """The free memory of a GPU, by which it was chosen, is another one on resuming."""
    path = half / "checkpoint-12.safetensors"
    change_checkpoint(path, lambda tree: tree["environment"].update(chunk_size=7))
    answer = kfac_run("resume=run", "iterations=14")
    assert answer.code == 0
    assert "the result may differ" not in answer.err
    saved = read_tree(half / "checkpoint-14.safetensors")
    assert saved["environment"]["chunk_size"] == 7
    assert saved["config"]["chunk_size"] == "auto"


def test_other_activations_in_memory_warn_too(kfac_run, half):
    answer = kfac_run("resume=run", "iterations=14", "optimizer.activation_memory=0")
    assert answer.code == 0
    assert "optimizer.activation_memory=0 (was 512): the result may differ" in answer.err
