"""summary.json says what a run was, so that comparing runs needs no other file."""

import json
import shlex

import numpy as np
import pytest
from soak.experiment import overrides, write_cases

from kfac_cli.config.compose import load_config
from kfac_cli.config.schema import flat_settings
from kfac_cli.data.registry import load_dataset
from kfac_cli.run.description import description

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def words(tmp_path):
    write_cases(tmp_path / "cases.npz")
    return [*overrides(tmp_path / "cases.npz", iterations=4), "tensorboard=false"]


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def test_a_run_is_described_by_its_parts_settings_data_and_command_line(kfac_run, words, tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text(f"{COMMIT}\n")
    arguments = [*words, "seed=5", "tags=[baseline, lr_3]", "hydra.run.dir=a run"]
    assert kfac_run(*arguments).code == 0
    found = summary(tmp_path / "a run")
    assert found["format"] == 1
    names = ("dataset", "optimizer", "schedule", "seed", "tags", "git_commit")
    assert [found[name] for name in names] == [
        "arrays",
        "kfac_tridiag",
        "exponential",
        5,
        ["baseline", "lr_3"],
        COMMIT,
    ]
    assert shlex.split(found["command"]) == ["kfac-run", *arguments]
    config = load_config(arguments[:-1])
    assert found["settings"] == flat_settings(config)
    dataset = load_dataset(config.dataset, tmp_path)
    assert found["data"] == dataset.fingerprint


def test_outside_a_checkout_and_without_tags_it_says_so(words, tmp_path):
    config = load_config(words)
    found = description(config, load_dataset(config.dataset, tmp_path), None, None)
    assert (found["tags"], found["command"], found["git_commit"]) == ([], None, None)


def test_a_resumed_run_has_its_last_command_line_and_may_get_other_tags(kfac_run, words, tmp_path):
    assert kfac_run(*words, "tags=[short]", "hydra.run.dir=run").code == 0
    assert kfac_run("resume=run", "iterations=6", "tags=[long]").code == 0
    found = summary(tmp_path / "run")
    assert found["command"] == "kfac-run resume=run iterations=6 'tags=[long]'"
    assert (found["tags"], found["iterations"]) == (["long"], 6)


def test_other_data_have_another_fingerprint(kfac_run, words, tmp_path):
    assert kfac_run(*words, "hydra.run.dir=a").code == 0
    arrays = dict(np.load(tmp_path / "cases.npz"))
    arrays["test_inputs"] = 1 - arrays["test_inputs"]
    np.savez(tmp_path / "cases.npz", **arrays)
    assert kfac_run(*words, "hydra.run.dir=b").code == 0
    a, b = (summary(tmp_path / name) for name in "ab")
    assert a["settings"] == b["settings"]
    assert a["data"]["train_inputs"] == b["data"]["train_inputs"]
    assert a["data"]["test_inputs"]["sha256"] != b["data"]["test_inputs"]["sha256"]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("[a b]", "tags[0]=a b: must be 1 to 64 letters, digits, - or _"),
        ("[ok,'']", 'tags[1]="": must be'),
        ("[1]", "tags[0]=1: must be"),
        ("x", "tags=x: must be a list of 0 to 20 tags, each 1 to 64 letters, digits, - or _"),
        ("null", "tags=null: must be a list of 0 to 20 tags"),
        (f"[{','.join(['a'] * 21)}]", "tags=[a,a,a,"),
    ],
)
def test_tags_are_a_list_of_short_names(kfac_run, value, line):
    answer = kfac_run(f"tags={value}")
    assert answer.code == 1
    assert line in answer.err
    assert answer.err.count("\n") == 1
