"""Which runs count as one, and what the groups are called."""

import pytest

from kfac_cli.report.groups import differing_settings, group_runs
from kfac_cli.report.runs import load_runs
from tests.report.folders import settings, write_run


def grouped(folder, *given, **keywords):
    for number, each in enumerate(given):
        write_run(folder / str(number), each, **keywords)
    runs, complaints = load_runs([folder])
    assert complaints == []
    return group_runs(runs)


def test_runs_that_differ_only_in_the_seed_are_one_group(tmp_path):
    (group,), complaints = grouped(tmp_path, settings(seed=2), settings(seed=0), settings(seed=1))
    assert group.label == "kfac_tridiag"
    assert [run.seed for run in group.runs] == [0, 1, 2]
    assert complaints == []


def test_settings_that_do_not_change_results_do_not_divide_a_group(tmp_path):
    groups, _ = grouped(
        tmp_path,
        settings(seed=0, tags=["a"], checkpoint__every=5, tensorboard=True),
        settings(seed=1, tags=["b"], checkpoint__every=6, tensorboard=False),
    )
    assert len(groups) == 1


@pytest.mark.parametrize("name", ["checkpoint__keep", "require_target", "preset__name"])
def test_nor_do_others_of_which_a_run_with_equal_results_may_have_another_value(tmp_path, name):
    groups, _ = grouped(tmp_path, settings(seed=0, **{name: 0}), settings(seed=1, **{name: 1}))
    assert len(groups) == 1


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("device", "cuda:0", "cuda:1"),
        ("dataset__file", "/a/cases.npz", "/b/cases.npz"),
        ("dataset__images", "/a/train-images", "/b/train-images"),
        ("optimizer__activation_memory", 100, 200),
    ],
)
def test_nor_do_equal_devices_the_place_of_equal_data_and_rounding(tmp_path, name, first, second):
    groups, _ = grouped(
        tmp_path, settings(seed=0, **{name: first}), settings(seed=1, **{name: second})
    )
    assert len(groups) == 1


def test_runs_from_one_start_are_one_sample_whatever_their_seeds(tmp_path):
    """They have its parameters and its mini-batches."""
    (group,), complaints = grouped(
        tmp_path, *(settings("adam", seed=seed, start_from="/runs/0") for seed in range(3))
    )
    assert len(group.runs) == 1
    assert complaints == [
        f"{number}: repeats 0, with the same settings and start_from=/runs/0, whatever the seed, "
        "and is not counted"
        for number in (1, 2)
    ]


def test_optimizers_are_named_by_their_names_alone(tmp_path):
    groups, _ = grouped(tmp_path, settings(), settings("adam"), settings("nesterov_sgd"))
    assert [group.label for group in groups] == ["kfac_tridiag", "adam", "nesterov_sgd"]
    assert "optimizer.name" in differing_settings(groups)


def test_labels_have_the_settings_that_differ_and_no_others(tmp_path):
    groups, _ = grouped(
        tmp_path,
        settings(),
        settings("adam", optimizer__arguments__lr=0.1),
        settings("adam", optimizer__arguments__lr=0.01),
        settings("adam", optimizer__arguments__lr=0.1, schedule__size=50),
    )
    assert [group.label for group in groups] == [
        "kfac_tridiag",
        "adam size=100 lr=0.1",
        "adam size=100 lr=0.01",
        "adam size=50",
    ]


def test_numbers_that_are_equal_are_one_setting(tmp_path):
    groups, _ = grouped(tmp_path, settings(seed=0, l2=1), settings(seed=1, l2=1.0))
    assert len(groups) == 1


def test_a_repeated_seed_counts_once_and_the_longer_run_stays(tmp_path):
    write_run(tmp_path / "short", settings(seed=0), errors=(9.0,), status=None)
    (tmp_path / "short" / "summary.json").write_text(
        (write_run(tmp_path / "long", settings(seed=0)) / "summary.json").read_text()
    )
    (group,), complaints = group_runs(load_runs([tmp_path])[0])
    assert [run.name for run in group.runs] == ["long"]
    assert len(complaints) == 1
    assert complaints[0].startswith("short: repeats long")


def test_a_run_of_several_processes_repeats_none_of_a_single_one(tmp_path):
    write_run(tmp_path / "a", settings(), processes=1)
    write_run(tmp_path / "b", settings(), processes=4)
    groups, complaints = group_runs(load_runs([tmp_path])[0])
    assert [group.label for group in groups] == ["processes=1", "processes=4"]
    assert complaints == []


def test_the_same_settings_on_other_data_are_another_group(tmp_path):
    write_run(tmp_path / "a", settings(seed=0), data="1" * 64)
    write_run(tmp_path / "b", settings(seed=1), data="2" * 64)
    groups, _ = group_runs(load_runs([tmp_path])[0])
    assert [group.label for group in groups] == ["data A", "data B"]


def test_numbers_in_labels_have_four_digits_unless_they_would_be_alike(tmp_path):
    rates = (0.0158489, 0.2511886)
    given = [settings("adam", optimizer__arguments__lr=rate) for rate in rates]
    groups, _ = grouped(tmp_path / "far", *given)
    assert [group.label for group in groups] == ["lr=0.01585", "lr=0.2512"]
    given = [settings("adam", optimizer__arguments__lr=rate) for rate in (0.100001, 0.100002)]
    groups, _ = grouped(tmp_path / "near", *given)
    assert [group.label for group in groups] == ["lr=0.100001", "lr=0.100002"]
