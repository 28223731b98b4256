"""Names of the folders of a sweep's jobs, and start_from= with such a name."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from kfac_cli.commands.job_folders import find_job, job_folder_name
from kfac_cli.commands.quoting import quoted, with_quoted_paths


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["seed=1", "optimizer=adam"], "3_seed=1,optimizer=adam"),
        (["+optimizer.arguments.lr=1e-3"], "3_optimizer.arguments.lr=1e-3"),
        (["dataset.file='a b/../$.npz'"], "3_dataset.file=a_b_..__.npz"),
        (["dataset.layer_sizes=[4,2,4]"], "3_dataset.layer_sizes=_4,2,4_"),
        ([], "3"),
    ],
)
def test_a_job_is_named_by_its_number_and_its_values(words, name):
    assert job_folder_name(3, words) == name


def test_a_long_name_is_cut():
    name = job_folder_name(12, ["start_from=" + "x" * 500])
    assert len(name) == 64
    assert name.startswith("12_start_from=xxx")


def test_a_job_is_found_by_its_number_alone(tmp_path):
    for name in ("1_seed=1", "10_seed=10", "2"):
        (tmp_path / name).mkdir()
    assert find_job(tmp_path, 1) == tmp_path / "1_seed=1"
    assert find_job(tmp_path, 2) == tmp_path / "2"
    assert find_job(tmp_path, 3) is None


def test_start_from_takes_the_names_of_existing_folders_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = "0_seed=1,l2=0", "1_seed=1,l2=1"
    for name in (first, second, "plain"):
        (tmp_path / name).mkdir()

    def values(text):
        [word] = with_quoted_paths([f"start_from={text}"])
        parsed = OverridesParser.create().parse_override(word)
        sweep = parsed.is_sweep_override()
        return [v.text for v in parsed.value().list] if sweep else [parsed.value()]

    assert values(first) == [first]
    assert values(f"{first},{second},plain") == [first, second, "plain"]
    assert with_quoted_paths(["start_from=no,such", "seed=0,1", "start_from=plain"]) == [
        "start_from=no,such",
        "seed=0,1",
        "start_from=plain",
    ]


@pytest.mark.parametrize("path", ["a${b}", "it's", "x\\y", "x\\", "x\\'${y", "a,b=c [1] {2}"])
def test_any_path_is_quoted(path):
    from omegaconf import OmegaConf

    value = OverridesParser.create().parse_override(f"a={quoted(path)}").value()
    assert OmegaConf.create({"a": value}).a == path
