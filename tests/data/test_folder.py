"""The folder of the data files."""

from pathlib import Path

import pytest

from kfac_cli.data.folder import resolve_data_dir


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KFAC_DATA_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_setting_comes_first(monkeypatch, tmp_path):
    monkeypatch.setenv("KFAC_DATA_DIR", "/from/environment")
    assert resolve_data_dir(str(tmp_path / "set")) == tmp_path / "set"


def test_then_the_environment_variable(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    monkeypatch.setenv("KFAC_DATA_DIR", "/from/environment")
    assert resolve_data_dir(None) == Path("/from/environment")


def test_then_the_users_cache(monkeypatch, tmp_path):
    assert resolve_data_dir(None) == tmp_path / "home" / ".cache" / "kfac-run"
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert resolve_data_dir(None) == Path("/cache/kfac-run")


@pytest.mark.parametrize("variable", ["KFAC_DATA_DIR", "XDG_CACHE_HOME"])
def test_an_empty_variable_does_not_mean_the_current_folder(monkeypatch, tmp_path, variable):
    monkeypatch.setenv(variable, "")
    assert resolve_data_dir(None) == tmp_path / "home" / ".cache" / "kfac-run"


def test_a_relative_cache_is_ignored_as_its_specification_asks(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert resolve_data_dir(None) == tmp_path / "home" / ".cache" / "kfac-run"


def test_the_result_is_absolute_and_the_home_folder_spelled_out(tmp_path):
    assert resolve_data_dir("here") == tmp_path / "here"
    assert resolve_data_dir("~/data") == tmp_path / "home" / "data"


def test_no_folder_is_made(tmp_path):
    resolve_data_dir(None)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_refused(monkeypatch, tmp_path, refusal):
    file = tmp_path / "file"
    file.touch()
    assert refusal(resolve_data_dir, str(file)).startswith(f"data_dir={file}: is not a folder")
    monkeypatch.setenv("KFAC_DATA_DIR", str(file))
    assert refusal(resolve_data_dir, None).startswith(f"KFAC_DATA_DIR={file}: is not a folder")


def test_the_home_folder_of_an_unknown_user_is_refused(refusal):
    message = refusal(resolve_data_dir, "~no-such-user-here/data")
    assert message.startswith("data_dir=~no-such-user-here/data: ")
