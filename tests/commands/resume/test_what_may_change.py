"""A resumed run keeps its data and its settings, but for those that may change."""

import shutil

import numpy as np
from omegaconf import OmegaConf
from soak.experiment import overrides, write_cases

from kfac_cli.config.names import setting_names
from kfac_cli.config.resuming import MAY_CHANGE
from tests.commands.resume.helpers import refusal, start


def test_everything_that_may_change_is_a_setting():
    assert set(MAY_CHANGE) <= set(setting_names())


def test_the_help_page_lists_everything_that_may_change(kfac_run):
    page = " ".join(kfac_run("--help").out.split())
    _, names = page.split("with it, only ")
    names, _ = names.split(" and the paths of dataset=arrays and dataset=idx may be given")
    assert set(names.split(", ")) == {n for n in MAY_CHANGE if not n.startswith("dataset.")}


def test_settings_that_must_not_change_are_named_with_both_values(kfac_run, half):
    line = refusal(kfac_run, half, "resume=run", "seed=3", "l2=0.5", "iterations=20")
    assert line.startswith("l2=0.5 (was 1e-05), seed=3 (was 0): ") or line.startswith(
        "seed=3 (was 0), l2=0.5 (was 1e-05): "
    )
    assert line.endswith(", ".join(MAY_CHANGE))


def test_a_setting_given_again_as_it_was_is_no_change(kfac_run, half):
    assert kfac_run("resume=run", "seed=0", "polyak={decay: 0.99}", "iterations=13").code == 0


def test_settings_edited_in_the_folder_are_compared_with_the_checkpoint(kfac_run, half):
    settings = OmegaConf.load(half / "config.yaml")
    settings.optimizer.tau1 = 0.5
    settings.iterations = 20
    OmegaConf.save(settings, half / "config.yaml")
    line = refusal(kfac_run, half, "resume=run")
    assert line.startswith("optimizer.tau1=0.5 (was 0.125): a resumed run keeps its settings")


def test_arguments_of_torchs_optimizer_cannot_be_added_on_resuming(kfac_run, file, tmp_path):
    start(tmp_path / "run", [*overrides(file, "adam"), "iterations=4"])
    word = "optimizer.arguments={lr:0.001,weight_decay:100.0}"
    line = refusal(kfac_run, tmp_path / "run", "resume=run", "iterations=6", word)
    assert "optimizer.arguments.weight_decay=100.0 (was not set): a resumed run keeps" in line


def test_a_run_of_a_version_that_had_fewer_options_cannot_be_resumed(kfac_run, half):
    path = half / "config.yaml"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if "refresh_delay:" not in line))
    answer = kfac_run("resume=run", "optimizer.refresh_delay=5")
    assert answer.code == 1
    assert answer.err == (
        f"kfac-run: error: {path}: has no optimizer.refresh_delay: it was written by an earlier "
        "version, whose runs cannot be resumed\n"
    )


def test_a_run_from_before_the_limit_of_optimizer_seconds_resumes(kfac_run, half):
    path = half / "config.yaml"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if "max_optimizer_seconds" not in line))
    assert kfac_run("resume=run", "iterations=13").code == 0


def test_data_may_move_but_not_change(kfac_run, half, file, tmp_path):
    moved = tmp_path / "elsewhere.npz"
    shutil.copy(file, moved)
    arguments = ("resume=run", "iterations=24", f"dataset.file={moved}")
    arrays = dict(np.load(moved))
    arrays["test_inputs"][3, 4] += 0.01
    np.savez(moved, **arrays)
    assert refusal(kfac_run, half, *arguments) == (
        "dataset.name=arrays: not the data that the run started with: test_inputs has the same "
        "shape, but other values; a resumed run needs the same data"
    )
    np.savez(moved, train_inputs=arrays["train_inputs"][1:], test_inputs=arrays["test_inputs"])
    assert "train_inputs has the shape [79, 12] instead of [80, 12]" in refusal(
        kfac_run, half, *arguments
    )
    write_cases(moved)
    assert kfac_run(*arguments).code == 0


def test_missing_data_leave_the_folder_as_it_was(kfac_run, half):
    arguments = ("resume=run", "iterations=24", "dataset.file=nowhere.npz")
    assert refusal(kfac_run, half, *arguments).startswith(
        f"{half.parent}/nowhere.npz: no such file"
    )
