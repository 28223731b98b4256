"""The group preset: the paper, the authors' companion code, and this project."""

import math
from functools import cache

import pytest
from omegaconf import OmegaConf

from kfac_cli.config.choices import choices
from kfac_cli.config.compose import composed, load_config
from kfac_cli.config.presets import ONLY_WITH, shipped_presets
from kfac_cli.config.schema import flat_settings
from kfac_cli.engine import KFACOptions
from kfac_cli.engine.damping import Damping

DEFAULT = {
    "preset.name": "default",
    "polyak.start": 200,
    "l2": 1e-5,
    "optimizer.lambda_initial": "auto",
    "optimizer.gamma_min": None,  # sqrt(l2)
    "optimizer.gamma_max": 1.0,
    "optimizer.growth_max": 1.5,
    "optimizer.tau2": 0.25,
}
T3 = {"default": 5, "companion": 20, "paper": 20}
"""T₃ of kfac_diag, by preset."""

PAPER = {
    "preset.name": "paper",
    "polyak.start": 0,
    "optimizer.tikhonov": "factored",
    "optimizer.lambda_initial": 150,
    "optimizer.gamma_min": 0,
    "optimizer.gamma_max": None,
    "optimizer.growth_max": None,
}
COMPANION = {
    "preset.name": "companion",
    "optimizer.tikhonov": "factored",
    "optimizer.lambda_initial": 150,
    "optimizer.growth_max": None,
    "optimizer.tau2": 1.0,
}
"""What differs from the default. Everything in which presets differ is in these tables."""

OWN = {
    "heskes": ("optimizer.tikhonov", "optimizer.lambda_initial"),
    "sgd_kfac_momentum": ("optimizer.tikhonov",),
}
"""What an optimizer sets itself, whatever the preset."""

PROBLEMS = ("mnist", "curves", "faces")
METHODS = ("kfac_tridiag", "kfac_tridiag_no_momentum", "kfac_diag", "nesterov_sgd")
EVERY_OPTIMIZER = pytest.mark.parametrize("optimizer", choices("optimizer"))


@cache
def settings(optimizer, *words):
    needed = ["optimizer.algorithm=RMSprop"] if optimizer == "torch" else []
    return flat_settings(load_config([f"optimizer={optimizer}", *needed, *words]))


@pytest.mark.parametrize(
    ("optimizer", "dataset"),
    [*((optimizer, "curves") for optimizer in choices("optimizer")), ("kfac_tridiag", "faces")],
)
@pytest.mark.parametrize(("preset", "values"), [("paper", PAPER), ("companion", COMPANION)])
def test_presets_differ_in_the_settings_listed_above_and_in_no_other(
    optimizer, dataset, preset, values
):
    default, other = (
        settings(optimizer, f"dataset={dataset}", f"preset={name}") for name in ("default", preset)
    )
    listed = {
        **values,
        **({"optimizer.t3": T3[preset]} if optimizer == "kfac_diag" else {}),
        **({"l2": 5e-6} if (preset, dataset) == ("companion", "faces") else {}),
    }
    expected = {name: listed[name] for name in listed if name not in OWN.get(optimizer, ())}
    expected = {name: expected[name] for name in expected if name in default}
    found = {name: other[name] for name in default if other[name] != default[name]}
    assert found == expected
    assert other.keys() == default.keys()


@EVERY_OPTIMIZER
def test_the_default_preset_is_the_default(optimizer):
    found = settings(optimizer)
    assert found == settings(optimizer, "preset=default")
    for name in DEFAULT.keys() & found.keys() - set(OWN.get(optimizer, ())):
        assert found[name] == DEFAULT[name]
    assert found.get("optimizer.t3") in (T3["default"] if optimizer == "kfac_diag" else 20, None)


@pytest.mark.parametrize("preset", choices("preset"))
def test_every_entry_of_a_preset_is_taken_by_a_setting(preset):
    values = shipped_presets()[preset]
    assert values["name"] == preset
    for entry in values.keys() - {"name", "l2_of_dataset"}:
        changed = composed(
            [f"preset={preset}", *([ONLY_WITH[entry]] if entry in ONLY_WITH else [])]
        )
        before = OmegaConf.to_container(changed, resolve=True)
        changed.preset[entry] = 0.125
        after = OmegaConf.to_container(changed, resolve=True)
        del after["preset"][entry]
        assert after != {**before, "preset": after["preset"]}, entry


@EVERY_OPTIMIZER
@pytest.mark.parametrize("preset", ["paper"])
def test_a_setting_that_is_typed_wins_in_any_order(optimizer, preset):
    typed = {"polyak.start": 7, "l2": 0.5}
    if "optimizer.growth_max" in settings(optimizer):
        typed |= {
            "optimizer.lambda_initial": 3,
            "optimizer.gamma_min": 0.75,
            "optimizer.gamma_max": 2,
            "optimizer.growth_max": 4,
            "optimizer.tau2": 0.5,
        }
    words = [f"{name}={value}" for name, value in typed.items()]
    for line in ([*words, f"preset={preset}"], [f"preset={preset}", *words]):
        found = settings(optimizer, *line)
        assert {name: found[name] for name in typed} == typed


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_experiment_of_the_paper_has_its_preset_unless_another_is_chosen(problem, method):
    found = flat_settings(load_config([f"experiment={problem}_{method}"]))
    assert {name: found[name] for name in PAPER.keys() & found.keys()} == {
        name: value for name, value in PAPER.items() if name in found
    }
    chosen = load_config(["preset=companion", f"experiment={problem}_{method}"])
    assert chosen.preset.name == "companion"
    assert chosen.polyak.start == 200


THE_PAPER = {
    "l2": 1e-5,  # eta, section 13
    "polyak.decay": 0.99,  # xi, section 13
    "polyak.start": 0,  # "at each iteration", section 13
    "schedule.kind": "exponential",  # section 13
    "schedule.initial": 1000,
    "schedule.full_at": 500,
    "dataset.initialization": "sparse",  # section 13
    "dataset.connections": 15,
    "dataset.activations": ["logistic"] * 3 + ["linear"] + ["logistic"] * 3,
    "optimizer.inverse": "block_tridiagonal",  # 4.3
    "optimizer.tikhonov": "factored",  # 6.3
    "optimizer.pi": "trace",  # 6.3
    "optimizer.sigma_solver": "auto",  # appendix B, whose decomposition a CPU does
    "optimizer.l2_product": "exact",
    "optimizer.fisher": "sampled",  # 5
    "optimizer.samples": 1,  # 5, "just one modified backwards pass"
    "optimizer.epsilon_max": 0.95,  # 5
    "optimizer.rescaling": True,  # 6.4
    "optimizer.learning_rate": 1,
    "optimizer.cg_steps": 1,  # 6.4, "runs CG for only 1 step"
    "optimizer.lambda_initial": 150,  # 6.5
    "optimizer.lambda_rule": "levenberg_marquardt",  # 6.5
    "optimizer.t1": 5,  # 6.5
    "optimizer.omega1": None,  # (19/20)^T_1, 6.5
    "optimizer.gamma_initial": None,  # sqrt(lambda + eta), 6.6
    "optimizer.gamma_rule": "search",  # 6.6
    "optimizer.gamma_min": 0,
    "optimizer.gamma_max": None,
    "optimizer.t2": 20,  # 6.6
    "optimizer.omega2": None,  # sqrt(19/20)^T_2, 6.6
    "optimizer.momentum": True,  # 7
    "optimizer.mu": None,  # 7, where alpha and mu minimise M together
    "optimizer.alpha_scale": 1,  # 6.4
    "optimizer.tau1": 1 / 8,  # 8
    "optimizer.tau2": 1 / 4,  # 8
    "optimizer.t3": 20,  # 8 and 13, "once every 20 iterations (and for the first 3 iterations)"
    "optimizer.refresh": "immediate",  # 8
    "optimizer.refresh_delay": 5,  # which only "background" has
    "optimizer.growth_max": None,
    "optimizer.activation_memory": 512,
    "optimizer.name": "kfac_tridiag",
    "optimizer.kind": "kfac",
}
"""Every value of algorithm 2 in the paper's text, with its section; null for what it has not."""


def test_the_papers_experiment_is_the_papers_text_and_nothing_else():
    found = flat_settings(load_config(["experiment=mnist_kfac_tridiag"]))
    assert {name: found[name] for name in THE_PAPER} == THE_PAPER
    assert {name for name in found if name.startswith("optimizer.")} <= THE_PAPER.keys()


def test_the_papers_candidates_for_gamma_have_no_bounds():
    """12.25, 7.33 and 20.46 at iteration 20; with the companion code's bounds the last is 1."""
    tried = {}
    for preset in ("paper", "companion"):
        options = load_config([f"preset={preset}"]).optimizer
        assert isinstance(options, KFACOptions)
        tried[preset] = Damping(options).candidates(20)
    gamma, omega = math.sqrt(150 + 1e-5), math.sqrt(19 / 20) ** 20
    assert tried["paper"] == pytest.approx([gamma, omega * gamma, gamma / omega], rel=1e-15)
    assert tried["companion"] == pytest.approx([gamma, omega * gamma, 1.0], rel=1e-15)


@pytest.mark.parametrize("gamma", [1e-9, 1e6])
def test_without_bounds_the_candidates_for_gamma_are_those_of_section_66_at_any_scale(gamma):
    options = KFACOptions(gamma_min=0, gamma_max=None, gamma_initial=gamma, lambda_initial=1)
    smaller, larger = sorted(Damping(options).candidates(20))[::2]
    assert (smaller, larger) == pytest.approx(
        (gamma * options.gamma_factor, gamma / options.gamma_factor), rel=1e-15
    )
