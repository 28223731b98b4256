"""The page of kfac-tune."""

import pytest

from kfac_cli.tune.options import NAMES
from kfac_cli.tune.space import ready_made_names


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_page_names_every_option_and_every_ready_made_space(kfac_tune, flag):
    answer = kfac_tune("seed=1,2", flag)
    assert (answer.code, answer.err) == (0, "")
    for name in NAMES:
        assert f"{name}=" in answer.out
    words = answer.out.replace(",", " ").replace(";", " ").split()
    assert set(ready_made_names()) <= set(words)
    assert all(len(line) <= 100 for line in answer.out.splitlines())


def test_without_arguments_the_page_is_printed_and_nothing_runs(kfac_tune, tmp_path):
    answer = kfac_tune()
    assert answer.code == 1
    assert answer.out.startswith("kfac-tune searches for the settings")
    assert not list(tmp_path.iterdir())


def test_the_version_is_that_of_kfac_run(kfac_tune):
    assert kfac_tune("--version").out.startswith("kfac-tune ")
