"""The choices that conf/ ships for each group: what they say, and which go together."""

from dataclasses import asdict

import pytest

from kfac_cli.config.choices import choices
from kfac_cli.config.compose import composed, load_config
from kfac_cli.config.validation import validate
from kfac_cli.engine import KFACOptions, NesterovOptions
from tests.config.helpers import ARRAYS, with_values


def test_the_defaults_are_the_papers():
    config = load_config()
    optimizer = config.optimizer
    assert isinstance(optimizer, KFACOptions)
    assert config.dataset.name == "curves"
    assert config.dataset.layer_sizes[:7] == (784, 400, 200, 100, 50, 25, 6)
    assert config.dataset.layer_sizes == config.dataset.layer_sizes[::-1]
    assert (config.iterations, config.l2) == (500, 1e-5)
    assert (config.polyak.decay, config.polyak.start) == (0.99, 200)
    assert (config.schedule.initial, config.schedule.full_at) == (1000, 500)
    assert (optimizer.inverse, optimizer.momentum) == ("block_diagonal", True)
    assert (optimizer.t1, optimizer.t2, optimizer.t3) == (5, 20, 5)
    assert (optimizer.tau1, optimizer.tau2) == (1 / 8, 1 / 4)
    assert optimizer.epsilon_max == 0.95


def test_the_optimizers_settings_are_the_engines_options_with_its_defaults():
    settings = asdict(load_config(["optimizer=kfac_tridiag"]).optimizer)
    assert (settings.pop("name"), settings.pop("kind")) == ("kfac_tridiag", "kfac")
    assert settings == asdict(KFACOptions())
    settings = asdict(load_config(["optimizer=nesterov_sgd"]).optimizer)
    assert (settings.pop("name"), settings.pop("kind")) == ("nesterov_sgd", "nesterov")
    assert settings == asdict(NesterovOptions())


@pytest.mark.parametrize("dataset", choices("dataset"))
@pytest.mark.parametrize("initialization", ["sparse", "glorot", "he"])
def test_every_dataset_takes_every_initialization(dataset, initialization):
    """The sparse one with 15 connections is the default, as in the paper (section 13)."""
    arrays = [*ARRAYS, "dataset.file=a.npz"]
    idx = ["dataset=idx", *ARRAYS[1:], "dataset.images=a.idx"]
    words = {"arrays": arrays, "idx": idx}.get(dataset, [f"dataset={dataset}"])
    default = validate(with_values(*words)).dataset
    assert (default.initialization, default.connections) == ("sparse", 15)
    chosen = validate(with_values(*words, f"dataset.initialization={initialization}")).dataset
    assert chosen.initialization == initialization
    assert validate(with_values(*words, "dataset.connections=7")).dataset.connections == 7


def test_heskes_method_is_what_section_11_says():
    heskes = load_config(["optimizer=heskes"]).optimizer
    assert (heskes.inverse, heskes.tikhonov, heskes.pi) == ("block_diagonal", "factored", "one")
    assert (heskes.fisher, heskes.gamma_rule, heskes.lambda_rule) == ("exact", "fixed", "fixed")
    assert (heskes.rescaling, heskes.momentum, heskes.cg_steps) == (False, False, 1)
    assert heskes.gamma_initial is not None


@pytest.mark.parametrize("problem", ["mnist", "curves", "faces"])
def test_the_code_layer_is_linear_and_every_other_hidden_layer_logistic(problem):
    network = load_config([f"dataset={problem}"]).dataset
    code = network.layer_sizes.index(min(network.layer_sizes))
    assert network.activations[code - 1] == "linear"
    assert set(network.activations) - {network.activations[code - 1]} == {"logistic"}
    assert network.activations.count("linear") == 1


@pytest.mark.parametrize("optimizer", choices("optimizer"))
def test_every_optimizer_goes_with_every_schedule(optimizer):
    needed = ["optimizer.algorithm=RMSprop"] if optimizer == "torch" else []
    together = composed([f"optimizer={optimizer}", *needed])
    for schedule in choices("schedule"):
        together.schedule = composed([f"schedule={schedule}"]).schedule
        config = validate(together)
        assert config.optimizer.name == optimizer
        assert config.schedule.kind == schedule.partition("_")[0]


@pytest.mark.parametrize(("preset", "others"), [("default", {"t3"}), ("paper", set())])
def test_the_diagonal_optimizer_differs_from_the_tridiagonal_one_in_its_inverse(preset, others):
    tridiagonal, diagonal = (
        asdict(load_config([f"optimizer={name}", f"preset={preset}"]).optimizer)
        for name in ("kfac_tridiag", "kfac_diag")
    )
    differing = {key for key in tridiagonal if tridiagonal[key] != diagonal[key]}
    assert differing == {"name", "inverse"} | others
