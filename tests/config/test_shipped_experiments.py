"""The experiments that conf/ ships: which there are, and that each is what its name says."""

from importlib.resources import files

import pytest
from omegaconf import OmegaConf

from kfac_cli.config.choices import choices
from kfac_cli.config.compose import load_config
from kfac_cli.engine import KFACOptions, NesterovOptions


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_is_valid_and_is_what_its_name_says(experiment):
    config = load_config([f"experiment={experiment}"])
    if experiment == "smoke":
        return
    problem, method = config.dataset.name, config.optimizer.name
    on_fewer = experiment.endswith("_100")
    assert experiment == f"{problem}_{method}" + "_100" * on_fewer
    grows = config.schedule.kind == "exponential"
    assert grows == (method in ("kfac_tridiag", "kfac_diag", "heskes"))
    if isinstance(config.optimizer, KFACOptions):
        assert config.optimizer.momentum == (method in ("kfac_tridiag", "kfac_diag"))
    if on_fewer:
        assert config.schedule.size == 100
    elif isinstance(config.optimizer, NesterovOptions):
        assert config.schedule.size == (250 if problem == "curves" else 500)
    if isinstance(config.optimizer, NesterovOptions):
        assert config.iterations > config.optimizer.final_iterations


def test_the_papers_second_experiment_is_there_for_each_problem_and_optimizer():
    methods = ("kfac_tridiag", "kfac_tridiag_no_momentum", "kfac_diag", "nesterov_sgd")
    paper = {
        f"{problem}_{method}" for problem in ("mnist", "curves", "faces") for method in methods
    }
    beside = {
        f"{problem}_{method}"
        for problem in ("mnist", "curves", "faces")
        for method in ("adam", "adamw", "muon", "nesterov_sgd_100", "adam_100")
    }
    ours = {"smoke", "mnist_labels_kfac_tridiag", "mnist_labels_heskes"}
    assert set(choices("experiment")) == paper | beside | ours


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_an_experiment_chooses_among_groups_and_sets_nothing_in_them(experiment):
    text = files("kfac_cli.conf").joinpath("experiment", f"{experiment}.yaml").read_text()
    own = set(OmegaConf.create(text)) - {"defaults"}
    assert own <= {"iterations", "evaluate_every", "chunk_size", "polyak"}
