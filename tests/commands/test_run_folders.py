"""The settings and the folders of runs and sweeps."""

import re

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import OmegaConf

from kfac_cli.commands.main import run_stamp
from kfac_cli.config.choices import choices
from kfac_cli.config.compose import load_config
from kfac_cli.config.validation import validate

STAMP = r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]{8}"


def contents(folder):
    """Every file below a folder with its bytes, every folder with None."""
    return {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def test_a_run_gets_the_checked_settings_and_a_new_folder(kfac_run, runner, tmp_path):
    answer = kfac_run("experiment=smoke", "seed=7")
    assert (answer.code, answer.err) == (0, "")
    [(config, folder)] = runner.calls
    assert config == load_config(["experiment=smoke", "seed=7"])
    assert re.fullmatch(rf"outputs/curves/kfac_tridiag/{STAMP}", str(folder.relative_to(tmp_path)))
    assert validate(OmegaConf.load(folder / "config.yaml")) == config


@pytest.mark.parametrize("preset", choices("preset"))
def test_config_yaml_has_plain_values_and_the_name_of_the_preset(
    kfac_run, runner, tmp_path, preset
):
    assert kfac_run(f"preset={preset}", "dataset=faces", "hydra.run.dir=mine").code == 0
    text = (tmp_path / "mine/config.yaml").read_text()
    assert "${" not in text
    record = OmegaConf.to_container(OmegaConf.create(text))
    assert record["preset"] == {"name": preset}
    [(config, _)] = runner.calls
    assert record["polyak"]["start"] == config.polyak.start
    assert record["optimizer"]["tau2"] == config.optimizer.tau2
    assert record["l2"] == (5e-6 if preset == "companion" else 1e-5)


def test_runs_of_the_same_second_have_different_folders(kfac_run, runner, monkeypatch):
    for _ in range(3):
        kfac_run("optimizer=nesterov_sgd", "dataset=mnist")
    assert len({folder for _, folder in runner.calls}) == 3
    assert {folder.parent.name for _, folder in runner.calls} == {"nesterov_sgd"}
    assert len({run_stamp() for _ in range(100)}) == 100  # a collision has probability 1e-6


def test_config_yaml_is_the_only_record_of_the_settings(kfac_run, runner, tmp_path):
    kfac_run("hydra.run.dir=mine")
    kfac_run("-m", "hydra.sweep.dir=sweep", "seed=0,1")
    records = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.yaml")}
    assert records == {
        f"{run}/config.yaml" for run in ("mine", "sweep/0_seed=0", "sweep/1_seed=1")
    } | {"sweep/multirun.yaml"}


def test_a_file_of_settings_cannot_have_hydra_write_a_record_either(kfac_run, runner, tmp_path):
    kfac_run("hydra.run.dir=mine")
    (tmp_path / "own/record").mkdir(parents=True)
    (tmp_path / "own/record/elsewhere.yaml").write_text(
        f"# @package hydra\noutput_subdir: {tmp_path}/mine\n"
    )
    before = contents(tmp_path / "mine")
    assert kfac_run("--config-dir=own", "+record=elsewhere", "hydra.run.dir=new").code == 0
    assert kfac_run("--config-dir=own", "-m", "+record=elsewhere", "seed=2,3").code == 0
    assert contents(tmp_path / "mine") == before
    assert len(runner.calls) == 4


@pytest.mark.parametrize(("folder", "holds"), [("mine", "a run"), ("sweep", "another sweep")])
def test_a_sweep_is_not_put_over_a_run_or_another_sweep(kfac_run, runner, tmp_path, folder, holds):
    kfac_run("hydra.run.dir=mine")
    kfac_run("-m", "hydra.sweep.dir=sweep", "seed=0,1")
    before = contents(tmp_path)
    answer = kfac_run("-m", f"hydra.sweep.dir={folder}", "seed=2,3")
    line = f"kfac-run: error: hydra.sweep.dir={folder}: holds {holds}; choose a new folder\n"
    assert (answer.code, answer.err) == (1, line)
    assert contents(tmp_path) == before


def test_without_arguments_it_trains_with_the_defaults(kfac_run, runner):
    assert kfac_run().code == 0
    [(config, _)] = [call[:2] for call in runner.calls]
    assert config.dataset.name == "curves"
    assert config.optimizer.name == "kfac_diag"


def test_warnings_of_libraries_reach_the_terminal_and_the_log(kfac_run, runner, tmp_path):
    def behave(config):
        import logging

        logging.getLogger("some.library").warning("careful\x1b[31m")  # control codes are escaped
        logging.getLogger("some.library").info("by the way")
        return "finished"

    runner.behave = behave
    answer = kfac_run("experiment=smoke", "hydra.run.dir=mine")
    assert r"careful\x1b[31m" in answer.err
    assert "by the way" not in answer.err
    log = (tmp_path / "mine/run.log").read_text()
    assert "careful" in log
    assert "by the way" in log


def test_settings_may_refer_to_each_other_and_to_the_folder(kfac_run, runner, tmp_path):
    arguments = ("evaluate_every=${iterations}", "data_dir=${hydra:runtime.cwd}/data")
    assert kfac_run("experiment=smoke", *arguments).code == 0
    [(config, _)] = runner.calls
    assert (config.evaluate_every, config.data_dir) == (10, f"{tmp_path}/data")


def test_settings_are_composed_to_be_checked_and_to_run_and_not_once_more(
    kfac_run, runner, monkeypatch
):
    load, composed = ConfigLoaderImpl.load_configuration, []

    def counting(self, *arguments, **keywords):
        composed.append(arguments)
        return load(self, *arguments, **keywords)

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", counting)
    assert kfac_run("experiment=smoke", "hydra.run.dir=mine").code == 0
    assert len(composed) == 2
