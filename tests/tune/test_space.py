"""Ready-made spaces, and what is typed over them."""

from dataclasses import replace

import pytest

from kfac_cli.config.choices import choices
from kfac_cli.config.compose import composed, load_config
from kfac_cli.errors import UserError
from kfac_cli.tune.options import TuneOptions, is_option, read_options
from kfac_cli.tune.plan import new_plan
from kfac_cli.tune.samplers import Grid, QuasiRandom, number_of_trials
from kfac_cli.tune.settings import check_space, trial_settings
from kfac_cli.tune.space import read_space, ready_made_names


@pytest.mark.parametrize("name", ready_made_names())
def test_a_ready_made_space_is_valid_and_of_the_optimizer_that_it_is_named_after(name):
    assert name in choices("optimizer")
    space = read_space(["dataset=curves_small"], name)
    assert check_space(space).config.optimizer.name == name
    assert space.dimensions


LEARNING_RATE = "optimizer.learning_rate=0.1,0.2"


@pytest.mark.parametrize(
    ("words", "pruner"),
    [
        ([LEARNING_RATE], "median"),
        ([LEARNING_RATE, "target_error=1", "objective=iterations"], "median"),
        ([LEARNING_RATE, "target_error=1"], "none"),  # in seconds
        ([LEARNING_RATE, "schedule=fixed,exponential"], "none"),
        ([LEARNING_RATE, "schedule.size=10,20", "schedule=fixed"], "none"),
        ([LEARNING_RATE, "max_seconds=9"], "none"),
        ([LEARNING_RATE, "max_optimizer_seconds=9"], "none"),
        (["optimizer=adam,sgd"], "none"),
        (["optimizer=kfac_diag", "optimizer.gamma_rule=search,tied"], "none"),
        (["optimizer=sgd", "optimizer.arguments.momentum=0.8,0.9"], "median"),
        ([LEARNING_RATE, "preset=default,companion"], "none"),
        (["search=nesterov_sgd"], "median"),
        *(([f"search={name}"], "none") for name in ready_made_names() if name != "nesterov_sgd"),
    ],
    ids=str,
)
def test_trials_are_not_pruned_by_default_where_equal_iterations_are_unfair(
    tmp_path, words, pruner
):
    options, given = read_options([word for word in words if is_option(word)])
    settings = ["dataset=curves_small", *(word for word in words if not is_option(word))]
    if "search" not in given and not any(word.startswith("optimizer=") for word in words):
        settings.append("optimizer=nesterov_sgd")
    assert new_plan(tmp_path, settings, options).options.pruner == pruner


def test_a_pruner_that_is_given_stays(tmp_path):
    options = TuneOptions(pruner="hyperband")
    settings = ["dataset=curves_small", "optimizer=nesterov_sgd", LEARNING_RATE, "max_seconds=9"]
    assert new_plan(tmp_path, settings, options).options.pruner == "hyperband"


def test_the_baselines_space_is_the_grid_of_sutskever_and_others_and_another_rate():
    space = read_space([], "nesterov_sgd")
    rate, momentum = space.dimensions
    assert rate.distribution.choices == (0.05, 0.02, 0.01, 0.005, 0.001, 0.0005, 0.0001)
    assert momentum.distribution.choices == (0.9, 0.99, 0.995, 0.999)
    optimizer = check_space(space).config.optimizer
    assert optimizer.mu_final == 0.9
    assert optimizer.mu_schedule == "increasing"
    assert number_of_trials(TuneOptions(sampler="grid"), space.dimensions) == 28


@pytest.mark.parametrize(
    ("typed", "last"),
    [
        (["iterations=20000"], 1000),
        (["iterations=5000"], 250),
        (["iterations=5000", "max_seconds=60"], 0),
        (["iterations=5000", "max_optimizer_seconds=60"], 0),
        (["iterations=5000", "optimizer.final_iterations=7"], 7),
        (["iterations=5000", "max_seconds=60", "optimizer.final_iterations=7"], 7),
    ],
)
def test_the_baselines_last_iterations_are_a_share_of_those_of_the_run(typed, last):
    space = read_space(typed, "nesterov_sgd")
    assert f"optimizer.final_iterations={last}" in space.fixed
    assert check_space(space).config.optimizer.final_iterations == last
    assert read_space(space.words) == space  # as study.json records it


@pytest.mark.parametrize("searched", ["iterations=1000,20000", "max_optimizer_seconds=60,120"])
def test_last_iterations_are_no_share_of_what_is_searched(searched):
    with pytest.raises(UserError) as caught:
        read_space([searched], "nesterov_sgd")
    name = searched.partition("=")[0]
    assert str(caught.value) == (
        f"{searched}: the ready-made optimizer.final_iterations=iterations/20 needs a single value "
        f"of {name}; give that, or optimizer.final_iterations=N"
    )
    space = read_space([searched, "optimizer.final_iterations=7"], "nesterov_sgd")
    assert "optimizer.final_iterations=7" in space.fixed


def test_relative_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = ["dataset.file=a.npz,'b c.npz',/d.npz,null", "start_from=run", "data_dir=/data"]
    space = read_space([*paths, "dataset.image_shape=[3,4]"])
    a, b = tmp_path / "a.npz", tmp_path / "b c.npz"
    assert space.words == [
        f"start_from={tmp_path / 'run'}",
        "data_dir=/data",
        "dataset.image_shape=[3,4]",
        f"dataset.file={a},'{b}',/d.npz,null",
    ]
    [file] = space.dimensions
    assert file.distribution.choices == (str(a), f"'{b}'", "/d.npz", None)
    monkeypatch.chdir("/")
    assert read_space(space.words) == space
    reference = "data_dir=${oc.env:HOME}/data"
    assert read_space([reference]).words == [reference]


def test_in_a_short_run_the_last_iterations_are_not_all_so_that_momenta_differ():
    space = read_space(["iterations=2000"], "nesterov_sgd")
    options = check_space(space).config.optimizer
    momenta = {replace(options, mu_max=mu).momentum_at(1800, 2000) for mu in (0.9, 0.99)}
    assert len(momenta) == 2


def test_only_a_ready_made_value_is_read_as_a_share_of_the_iterations():
    assert read_space(["x=iterations/20"]).fixed == ("x=iterations/20",)


def test_what_is_typed_wins_over_a_ready_made_space():
    typed = ["optimizer.arguments.lr=interval(0.1,0.2)", "optimizer.rate_schedule=linear"]
    space = read_space([*typed, "+optimizer.arguments.betas=[0.5,0.5]"], "adam")
    assert [d.word for d in space.dimensions] == ["optimizer.arguments.lr=interval(0.1,0.2)"]
    assert space.overrides({"optimizer.arguments.lr": 0.15}) == [
        "optimizer=adam",
        "+optimizer.arguments.betas=[0.5,0.5]",
        "optimizer.rate_schedule=linear",
        "optimizer.arguments.lr=0.15",
    ]


def test_the_settings_of_a_trial_are_those_of_its_command_line():
    typed = ["optimizer.arguments.lr=interval(0.1,0.2)", "seed=1,2", "dataset=curves_small"]
    space = read_space(typed, "adam")
    values = {d.name: d.point(1) if d.points() else 0.15 for d in space.dimensions}
    settings, config = trial_settings(space, check_space(space), values)
    assert settings == composed(space.overrides(values))
    assert config == load_config(space.overrides(values))


def test_a_file_of_ones_own_is_a_space(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("optimizer: sgd\noptimizer.arguments.lr: interval(0.1,1)\n")
    space = read_space([], str(file))
    assert space.words == ["optimizer=sgd", "optimizer.arguments.lr=interval(0.1,1)"]
    file.write_text("optimizer: [sgd]\n")
    with pytest.raises(UserError, match="must have lines SETTING: RANGE"):
        read_space([], str(file))


def test_a_grid_has_every_combination_once():
    dimensions = read_space(["a=1,2,3", "b=range(0,1,0.5)"]).dimensions
    points = [Grid(dimensions).point(number) for number in range(6)]
    assert points == [{"b": b, "a": a} for a in (1, 2, 3) for b in (0.0, 0.5)]


def test_the_quasi_random_point_of_a_trial_depends_on_its_number_and_the_seed_only():
    dimensions = read_space(["a=interval(0,1)", "b=x,y", "c=int(interval(1,9))"]).dimensions
    first, again, other = (QuasiRandom(dimensions, seed) for seed in (1, 1, 2))
    points = [first.point(number) for number in range(8)]
    assert [again.point(number) for number in reversed(range(8))] == points[::-1]
    assert other.point(0) != points[0]
    # eight points of a sequence in base 2, one in each eighth of the range
    assert sorted(int(point["a"] * 8) for point in points) == list(range(8))
