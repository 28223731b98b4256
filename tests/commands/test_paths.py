"""A relative path means where the command was typed, and is kept absolute."""

import pytest
from omegaconf import OmegaConf
from soak.experiment import overrides, write_cases

from kfac_cli.config.completion import path_settings

WORDS = [*overrides("cases.npz", iterations=2), "tensorboard=false", "hydra.run.dir=run"]


def test_all_paths_are_found_by_their_declaration():
    datasets = ("file", "train_inputs", "train_targets", "test_inputs", "test_targets", "images")
    idx = ("labels", "test_images", "test_labels")
    assert set(path_settings()) == {
        "data_dir",
        "start_from",
        *(f"dataset.{name}" for name in (*datasets, *idx)),
    }


@pytest.mark.parametrize("chdir", ["true", "false"])
def test_a_relative_file_is_found_and_kept_absolute(kfac_run, tmp_path, monkeypatch, chdir):
    write_cases(tmp_path / "cases.npz")
    answer = kfac_run(*WORDS, "data_dir=mine", f"hydra.job.chdir={chdir}")
    assert answer.code == 0
    settings = OmegaConf.load(tmp_path / "run/config.yaml")
    assert settings.dataset.file == str(tmp_path / "cases.npz")
    assert settings.data_dir == str(tmp_path / "mine")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert kfac_run("resume=../run", "iterations=3").code == 0


def test_data_are_generated_where_the_command_was_typed(kfac_run, tmp_path, monkeypatch):
    words = ["experiment=smoke", "iterations=1", "tensorboard=false", "hydra.job.chdir=true"]
    assert kfac_run(*words, "data_dir=rel", "hydra.run.dir=a").code == 0
    assert (tmp_path / "rel/curves").is_dir()
    monkeypatch.setenv("KFAC_DATA_DIR", "by_variable")
    assert kfac_run(*words, "hydra.run.dir=b").code == 0
    assert (tmp_path / "by_variable/curves").is_dir()


def test_a_run_that_started_from_a_relative_folder_resumes_from_elsewhere(
    kfac_run, tmp_path, monkeypatch
):
    write_cases(tmp_path / "cases.npz")
    assert kfac_run(*WORDS).code == 0
    words = [*WORDS[:-1], "hydra.run.dir=new", "start_from=run", "hydra.job.chdir=true"]
    assert kfac_run(*words, "iterations=4").code == 0
    monkeypatch.chdir(tmp_path / "new")
    assert kfac_run("resume=.", "iterations=5").code == 0


def test_the_home_folder_may_be_written_short(kfac_run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_cases(tmp_path / "cases.npz")
    assert kfac_run(*WORDS, 'dataset.file="~/cases.npz"').code == 0
    assert kfac_run("resume=~/run", "iterations=3").code == 0


def test_a_path_that_hydra_would_read_as_a_setting_is_refused(kfac_run, tmp_path):
    """No file of settings can hold it."""
    (tmp_path / "a${b}").mkdir()
    answer = kfac_run("start_from=a${b}", "iterations=5")
    assert answer.code == 1
    assert answer.err.startswith("kfac-run: error: start_from=a${b}: has ${ in its path, which")
