"""The settings: what conf/ contains, what is refused, and how the refusal reads."""

import copy
import json
import math
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from pydantic import TypeAdapter, ValidationError

from kfac_cli.commands.messages import choices, explain
from kfac_cli.config import compose
from kfac_cli.config.compose import load_config
from kfac_cli.config.names import GROUPS, setting_names, suggestion
from kfac_cli.config.reference import settings_page
from kfac_cli.config.schema import (
    RunConfig,
    flat_settings,
    settings_tree,
)
from kfac_cli.config.validation import validate
from kfac_cli.engine import KFACOptions, NesterovOptions
from kfac_cli.engine.declaration import declared_fields, sections
from kfac_cli.engine.option_types import About, Integer, Number
from kfac_cli.errors import UserError, shown

ARRAYS = [
    "dataset=arrays",
    "dataset.layer_sizes=[6,3,6]",
    "dataset.activations=[linear]",
    "dataset.output=gaussian",
]
CLASSES = [
    "dataset=arrays",
    "dataset.layer_sizes=[6,3,4]",
    "dataset.activations=[relu]",
    "dataset.output=categorical",
    "dataset.file=a.npz",
]
LISTED = "kfac-run --cfg job lists them all"
WHOLE = "must be a whole number from"


def with_values(*overrides):
    """The settings of a command line: its choices composed, then its values set, as Hydra does."""
    chosen = [word for word in overrides if word[0] in "+~" or word.partition("=")[0] in GROUPS]
    found = compose.composed(chosen)
    values = [word for word in overrides if word not in chosen]
    for each in OverridesParser.create().parse_overrides(values):
        OmegaConf.update(found, each.key_or_group, each.value(), merge=True)
    return found


def refusal(*overrides):
    with pytest.raises(UserError) as caught:
        validate(with_values(*overrides))
    assert "\n" not in str(caught.value)
    return str(caught.value)


TEXT_FROM_THE_ENVIRONMENT = [
    ("seed={}", "7", "seed=7: must be a whole number"),
    ("l2={}", "1e-5", "l2=1e-5: must be a number"),
    ("tensorboard={}", "true", "tensorboard=true: must be true or false"),
    ("max_seconds={}", "null", "max_seconds=null: must be null or a number"),
    ("optimizer.lambda_initial={}", "150", "optimizer.lambda_initial=150: must be auto or a n"),
    ("dataset.layer_sizes=[784,{},784]", "30", "dataset.layer_sizes[1]=30: must be a whole nu"),
    ("dataset.layer_sizes={}", "[784,784]", "dataset.layer_sizes=[784,784]: must be a list"),
]


@pytest.mark.parametrize(("setting", "value", "line"), TEXT_FROM_THE_ENVIRONMENT)
def test_a_value_from_the_environment_is_said_to_be_text(monkeypatch, setting, value, line):
    monkeypatch.setenv("KFAC_VALUE", value)
    variable = "${oc.env:KFAC_VALUE}"
    decoded = f'"${{oc.decode:{variable}}}"'
    said = refusal(setting.format(variable))
    assert said.startswith(line)
    assert said.endswith(
        f'; "{value}" is text here: write {decoded}, with its quotes, instead of {variable}'
    )
    try:
        load_config([setting.format(decoded)])
    except UserError as error:  # the activations no longer fit the layers
        assert str(error).startswith("dataset.activations=")


def test_quoted_text_is_said_to_be_text():
    assert '; "7" is text here: write it without quotes' in refusal("seed='7'")


@pytest.mark.parametrize(
    ("setting", "value"), [("seed={}", "seven"), ("device={}", "7"), ("tags=[{}]", "a b")]
)
def test_advice_on_text_is_only_given_where_it_helps(monkeypatch, setting, value):
    monkeypatch.setenv("KFAC_VALUE", value)
    assert "is text here" not in refusal(setting.format("${oc.env:KFAC_VALUE}"))


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
    together = compose.composed([f"optimizer={optimizer}", *needed])
    for schedule in choices("schedule"):
        together.schedule = compose.composed([f"schedule={schedule}"]).schedule
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


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_is_valid_and_is_what_its_name_says(experiment):
    config = load_config([f"experiment={experiment}"])
    if experiment == "smoke":
        return
    problem, method = config.dataset.name, config.optimizer.name
    assert experiment == f"{problem}_{method}"
    grows = config.schedule.kind == "exponential"
    assert grows == (method in ("kfac_tridiag", "kfac_diag", "heskes"))
    if isinstance(config.optimizer, KFACOptions):
        assert config.optimizer.momentum == (method in ("kfac_tridiag", "kfac_diag"))
    if isinstance(config.optimizer, NesterovOptions):
        assert config.schedule.size == (250 if problem == "curves" else 500)
        assert config.iterations > config.optimizer.final_iterations


def test_the_papers_second_experiment_is_there_for_each_problem_and_optimizer():
    methods = ("kfac_tridiag", "kfac_tridiag_no_momentum", "kfac_diag", "nesterov_sgd")
    paper = {
        f"{problem}_{method}" for problem in ("mnist", "curves", "faces") for method in methods
    }
    beside = {
        f"{problem}_{method}"
        for problem in ("mnist", "curves", "faces")
        for method in ("adam", "adamw", "muon")
    }
    ours = {"smoke", "mnist_labels_kfac_tridiag", "mnist_labels_heskes"}
    assert set(choices("experiment")) == paper | beside | ours


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_an_experiment_chooses_among_groups_and_sets_nothing_in_them(experiment):
    text = files("kfac_cli.conf").joinpath("experiment", f"{experiment}.yaml").read_text()
    own = set(OmegaConf.create(text)) - {"defaults"}
    assert own <= {"iterations", "evaluate_every", "chunk_size", "polyak"}


def declarations(kind=RunConfig, prefix=""):
    for name, hint in declared_fields(kind).items():
        for section in sections(hint):
            yield from declarations(section, f"{section.__name__}.")
        if not sections(hint):
            yield pytest.param(hint, id=f"{prefix}{name}")


@pytest.mark.parametrize("hint", list(declarations()))
def test_every_setting_says_what_it_means(hint):
    base = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if get_origin(base) is Literal and len(get_args(base)) == 1:
        return  # the word that chooses a section
    [about] = [mark for mark in get_args(hint) if isinstance(mark, About)]
    assert about.meaning
    assert not about.meaning.endswith(".")


def test_docs_settings_md_is_up_to_date():
    """make docs writes it."""
    page = Path(__file__).parents[2] / "docs/settings.md"
    assert page.read_text(encoding="utf-8") == settings_page()


DEVICE = "must be auto, cpu, cuda, or cuda:N for the GPU with the number N"

ERRORS = [
    (["iterations=0"], f"iterations=0: {WHOLE} 1 to 1000000000"),
    (["iterations=abc"], f"iterations=abc: {WHOLE} 1 to 1000000000"),
    (["iterations=1.5"], f"iterations=1.5: {WHOLE} 1 to 1000000000"),
    (["iterations=true"], f"iterations=true: {WHOLE} 1 to 1000000000"),
    (["iterations="], f'iterations="": {WHOLE} 1 to 1000000000'),
    (["iterations=null"], f"iterations=null: {WHOLE} 1 to 1000000000"),
    (["iterations=[3]"], f"iterations=[3]: {WHOLE} 1 to 1000000000"),
    (["iterations=" + "9" * 4000], f"iterations=(a number of 13288 bits): {WHOLE} 1 to 1000000000"),
    (["chunk_size=-5"], "chunk_size=-5: must be auto or a whole number from 1 to 1000000000"),
    (["chunk_size=all"], "chunk_size=all: must be auto or a whole number from 1 to 1000000000"),
    (["seed=-1"], f"seed=-1: {WHOLE} 0 to 9223372036854775807"),
    (["evaluate_every=0"], f"evaluate_every=0: {WHOLE} 1 to 1000000000"),
    (["l2=-1"], "l2=-1: must be a number in [0, 1000]"),
    (["l2=nan"], "l2=nan: must be a number in [0, 1000]"),
    (["l2=inf"], "l2=inf: must be a number in [0, 1000]"),
    (["target_error=-1"], "target_error=-1: must be null or a number in [0, 1e+12]"),
    (["require_target=true"], "require_target=true: needs target_error; set it to a number"),
    (["require_target=1", "target_error=1"], "require_target=1: must be true or false"),
    (["max_seconds=0"], "max_seconds=0: must be null or a number in (0, 1e+09]"),
    (["device=gpu"], f"device=gpu: {DEVICE}"),
    (["device=cuda:"], f"device=cuda:: {DEVICE}"),
    (["device=cuda:01"], f"device=cuda:01: {DEVICE}"),
    (["device=cuda:-1"], f"device=cuda:-1: {DEVICE}"),
    (["device=cpu:0"], f"device=cpu:0: {DEVICE}"),
    (["dtype=float16"], "dtype=float16: must be float32 or float64"),
    (["matmul=fast"], "matmul=fast: must be auto, blas, onednn or tf32"),
    (["tensorboard=maybe"], "tensorboard=maybe: must be true or false"),
    (["data_dir="], 'data_dir="": must be null or a path'),
    (["data_dir=3"], "data_dir=3: must be null or a path"),
    (["threads=0"], "threads=0: must be null or a whole number from 1 to 1024"),
    (["polyak.decay=1"], "polyak.decay=1: must be a number in [0, 1)"),
    (["polyak=3"], "polyak=3: must be a group of settings"),
    (["~preset"], "preset: has no value; give one as preset=VALUE"),
    (["preset.name=paper"], "preset.name=paper: cannot be set; choose preset=NAME instead"),
    (
        ["preset=companion", "preset.polyak_start=3"],
        "preset.polyak_start=3: cannot be set; set polyak.start instead",
    ),
    (["optimizer=adam", "+preset.lr=1"], "preset.lr=1: no such setting"),
    (["optimizer.tau1=0"], "optimizer.tau1=0: must be a number in (0, 1]"),
    (["optimizer.tau1=2"], "optimizer.tau1=2: must be a number in (0, 1]"),
    (["optimizer.tau2=0"], "optimizer.tau2=0: must be a number in (0, 1]"),
    (["optimizer.momentum=maybe"], "optimizer.momentum=maybe: must be true or false"),
    (["optimizer.t3=0"], f"optimizer.t3=0: {WHOLE} 1 to 1000000000"),
    (
        ["optimizer.t2=32"],
        "optimizer.t2=32: must be a multiple of optimizer.t3, which is 5",
    ),
    (
        ["optimizer.gamma_min=2"],
        "optimizer.gamma_max=1.0: must be at least optimizer.gamma_min, which is 2",
    ),
    (["l2=100"], "optimizer.gamma_max=1.0: must be at least sqrt(l2), which is 10"),
    (["optimizer.kind=adam"], "optimizer.kind=adam: must be kfac, nesterov or torch"),
    (
        ["dataset.name=digits"],
        "dataset.name=digits: must be arrays, curves, faces, idx, mnist or mnist_labels",
    ),
    (["~optimizer.tau1"], "optimizer.tau1: has no value; give one as optimizer.tau1=VALUE"),
    (["optimizer.pi=???"], "optimizer.pi: has no value; give one as optimizer.pi=VALUE"),
    (
        ["optimizer=heskes", "~optimizer.momentum"],
        "optimizer.momentum: has no value; give one as optimizer.momentum=VALUE",
    ),
    (["+optimizer.l2=1"], "optimizer.l2=1: no such setting; did you mean l2? " + LISTED),
    (["optimizer.omega1=1"], "optimizer.omega1=1: must be null or a number in (0, 1)"),
    (
        ["optimizer.name=../elsewhere"],
        "optimizer.name=../elsewhere: must be 1 to 64 letters, digits, - or _",
    ),
    (
        ["optimizer=nesterov_sgd", "optimizer.learning_rate=-1"],
        "optimizer.learning_rate=-1: must be a number in (0, 1000]",
    ),
    (
        ["optimizer=nesterov_sgd", "optimizer.learning_rate=nan"],
        "optimizer.learning_rate=nan: must be a number in (0, 1000]",
    ),
    (
        ["optimizer=nesterov_sgd", "optimizer.mu_max=1"],
        "optimizer.mu_max=1: must be a number in [0, 1)",
    ),
    (
        ["schedule=fixed", "schedule.size=0"],
        f"schedule.size=0: {WHOLE} 1 to 1000000000",
    ),
    (["schedule.full_at=1"], f"schedule.full_at=1: {WHOLE} 2 to 1000000000"),
    (
        ["dataset.activations.0=swish"],
        "dataset.activations[0]=swish: must be logistic, tanh, relu or linear",
    ),
    (
        ["dataset.activations=[linear]"],
        "dataset.activations=[linear]: must be 11 words, one for each layer between the first and "
        "the last of dataset.layer_sizes, and has 1",
    ),
    (
        ["dataset.layer_sizes=[784,9,784]", "dataset.activations=[linear,linear]"],
        "dataset.activations=[linear,linear]: must be 1 word, one for each layer between the first "
        "and the last of dataset.layer_sizes, and has 2",
    ),
    (
        ["dataset.layer_sizes=[784,0,784]"],
        "dataset.layer_sizes[1]=0: must be a whole number from 1 to 100000",
    ),
    (
        ["dataset.layer_sizes=784"],
        "dataset.layer_sizes=784: must be a list of 2 to 1000 items, each a whole number from 1 to "
        "100000",
    ),
    (
        ["dataset.layer_sizes=[700,6,784]", "dataset.activations=[linear]"],
        "dataset.layer_sizes=[700,6,784]: must begin and end with 784, the pixels of an image of "
        "curves",
    ),
    (["dataset.initialization=zero"], "dataset.initialization=zero: must be sparse, glorot or he"),
    (["dataset.connections=0"], f"dataset.connections=0: {WHOLE} 1 to 100000"),
    (
        ["dataset.initialization=he", "dataset.connections=3"],
        "dataset.connections=3: needs dataset.initialization=sparse; the others connect a unit to "
        "all its inputs",
    ),
    (["dataset.output=softplus"], "dataset.output=softplus: must be bernoulli or gaussian"),
    (["dataset.output=categorical"], "dataset.output=categorical: must be bernoulli or gaussian"),
    (
        ["dataset=mnist_labels", "dataset.output=gaussian"],
        "dataset.output=gaussian: must be categorical",
    ),
    (
        ["dataset=mnist_labels", "dataset.layer_sizes=[784,20,30,9]"],
        "dataset.layer_sizes=[784,20,30,9]: must begin with 784, the pixels of an image, and end "
        "with 10, the digits",
    ),
    (
        [*CLASSES, "dataset.image_shape=[2,3]"],
        "dataset.image_shape=[2,3]: must be null with dataset.output=categorical",
    ),
    (
        [*CLASSES, "dataset.layer_sizes=[6,3,1]"],
        "dataset.layer_sizes=[6,3,1]: must end with the number of classes, 2 or more",
    ),
    (
        [*ARRAYS, "dataset.output=categorical", "dataset.train_inputs=a", "dataset.test_inputs=b"],
        "dataset.train_targets=null: must be a path, since dataset.output=categorical",
    ),
    (
        ["dataset=faces", "dataset.output=bernoulli"],
        "dataset.output=bernoulli: must be gaussian; faces are not in [0, 1]",
    ),
    (
        ["dataset=mnist", "dataset.train_cases=70000"],
        "dataset.train_cases=70000: must be null or a whole number from 1 to 60000",
    ),
    (
        ["dataset=arrays"],
        "dataset.layer_sizes: has no value; give one as dataset.layer_sizes=VALUE",
    ),
    (ARRAYS, "dataset.train_inputs=null: must be a path, or give dataset.file"),
    (
        [*ARRAYS, "dataset.file=a.npz", "dataset.test_inputs=b.npy"],
        "dataset.test_inputs=b.npy: must be null when dataset.file is given",
    ),
    (
        [
            *ARRAYS,
            "dataset.train_inputs=a.npy",
            "dataset.test_inputs=b.npy",
            "dataset.train_targets=c.npy",
        ],
        "dataset.test_targets=null: must be a path: there is one for dataset.test_inputs where "
        "there are dataset.train_targets",
    ),
    (
        [*ARRAYS, "dataset.train_inputs=a.npy", "dataset.test_targets=b.npy"],
        "dataset.test_targets=b.npy: must be null: there is one for dataset.test_inputs where "
        "there are dataset.train_targets",
    ),
    (
        [
            *ARRAYS,
            "dataset.train_inputs=a.npy",
            "dataset.test_inputs=b.npy",
            "dataset.layer_sizes=[6,3,5]",
        ],
        "dataset.layer_sizes=[6,3,5]: without targets the net reproduces its inputs: first and "
        "last must be equal",
    ),
    (
        [*ARRAYS, "dataset.file=a.npz", "dataset.image_shape=[2,2]"],
        "dataset.image_shape=[2,2]: must have as many pixels as the last of dataset.layer_sizes, 6",
    ),
    (
        [*ARRAYS, "dataset.file=a.npz", "dataset.image_shape=[2,0]"],
        "dataset.image_shape[1]=0: must be a whole number from 1 to 100000",
    ),
    (["~iterations"], "iterations: has no value; give one as iterations=VALUE"),
    (["iterations=${nowhere}"], "iterations: Interpolation key 'nowhere' not found"),
    (
        ["+optimizer.tau3=1"],
        "optimizer.tau3=1: no such setting; did you mean optimizer.tau2? "
        "kfac-run --cfg job lists them all",
    ),
    (
        ["+optimizer.mu_max=1"],
        "optimizer.mu_max=1: no such setting with this choice of optimizer, but with "
        "optimizer=nesterov_sgd; kfac-run --cfg job lists them all",
    ),
    (
        ["optimizer.lambda_initial=automatic"],
        "optimizer.lambda_initial=automatic: must be auto or a number in (0, 1e+12]",
    ),
    (
        ["optimizer.lambda_initial=0"],
        "optimizer.lambda_initial=0: must be auto or a number in (0, 1e+12]",
    ),
    (["optimizer.pi=two"], "optimizer.pi=two: must be trace, frobenius, spectral or one"),
    (["optimizer.fisher=true"], "optimizer.fisher=true: must be sampled, exact or empirical"),
    (
        ["optimizer=kfac_tridiag", "optimizer.tikhonov=exact"],
        "optimizer.tikhonov=exact: needs optimizer.inverse=block_diagonal; no other has an "
        "efficient exact form",
    ),
    (
        ["optimizer=kfac_diag", "optimizer.tikhonov=exact", "optimizer.pi=one"],
        "optimizer.pi=one: exact Tikhonov damping has no pi; leave it at trace, or "
        "optimizer.tikhonov=factored",
    ),
    (
        ["optimizer=kfac_diag", "optimizer.sigma_solver=doubling"],
        "optimizer.sigma_solver=doubling: needs optimizer.inverse=block_tridiagonal; no other "
        "has a Sigma",
    ),
    (
        ["optimizer.fisher=empirical", "optimizer.samples=2"],
        "optimizer.samples=2: needs optimizer.fisher=sampled; empirical samples nothing",
    ),
    (
        ["optimizer.rescaling=false"],
        "optimizer.momentum=true: must be false with optimizer.rescaling=false",
    ),
    (
        ["optimizer.rescaling=false", "optimizer.momentum=false", "optimizer.cg_steps=2"],
        "optimizer.cg_steps=2: must be 1 with optimizer.rescaling=false",
    ),
    (
        ["optimizer.learning_rate=0.1"],
        "optimizer.learning_rate=0.1: needs optimizer.rescaling=false; re-scaling computes alpha "
        "instead",
    ),
    (
        ["schedule=stepwise", "schedule.steps=[]"],
        "schedule.steps=[]: must be a list of 1 to 1000 pairs [iteration,value]",
    ),
    (
        ["schedule=stepwise", "schedule.steps=[1,500]"],
        "schedule.steps[0]=1: must be a pair [iteration,value]",
    ),
    (
        ["schedule=stepwise", "schedule.steps=[[1,500,3]]"],
        "schedule.steps[0]=[1,500,3]: must be a pair [iteration,value]",
    ),
    (
        ["schedule=stepwise", "schedule.steps=[[2,500]]"],
        "schedule.steps[0][0]=2: must be 1: the table begins with the run",
    ),
    (
        ["schedule=stepwise", "schedule.steps=[[1,500],[9,600],[9,700]]"],
        "schedule.steps[2][0]=9: must be later than 9, the one before",
    ),
    (
        ["schedule=stepwise", "schedule.steps=[[1,500],[1.5,600]]"],
        f"schedule.steps[1][0]=1.5: {WHOLE} 0 to 1000000000",
    ),
    (
        ["schedule=stepwise", "schedule.steps=[[1,0]]"],
        f"schedule.steps[0][1]=0: {WHOLE} 1 to 1000000000",
    ),
    (["schedule=adaptive", "schedule.initial=1"], f"schedule.initial=1: {WHOLE} 2 to 1000000000"),
    (
        ["schedule=adaptive", "schedule.maximum=500"],
        "schedule.maximum=500: must be null or at least schedule.initial, which is 1000",
    ),
    (["schedule=adaptive", "schedule.theta=0"], "schedule.theta=0: must be a number in (0, 1]"),
]


@pytest.mark.parametrize(("overrides", "line"), ERRORS, ids=[" ".join(e[0])[:60] for e in ERRORS])
def test_a_wrong_value_is_refused_in_one_line_that_says_what_is_allowed(overrides, line):
    assert refusal(*overrides) == line


def test_values_at_the_ends_of_what_is_allowed_are_taken():
    config = load_config(
        ["optimizer.tau1=1", "optimizer.tau2=1e-9", "l2=0", "optimizer.gamma_max=null", "seed=0"]
    )
    assert (config.optimizer.tau1, config.optimizer.tau2, config.l2) == (1.0, 1e-9, 0.0)
    assert config.optimizer.gamma_max is None


@pytest.mark.parametrize(
    "overrides",
    [
        ["optimizer.lambda_initial=auto"],
        ["optimizer.gamma_rule=fixed", "optimizer.t2=30"],  # T_2 belongs to the search
        ["optimizer.gamma_rule=tied", "l2=100"],  # and so does the cap
        ["optimizer=kfac_diag", "optimizer.tikhonov=exact"],
        ["optimizer=kfac_tridiag", "optimizer.fisher=exact", "optimizer.sigma_solver=doubling"],
        ["optimizer.samples=3", "optimizer.cg_steps=4"],
        ["optimizer=heskes", "optimizer.fisher=sampled", "optimizer.learning_rate=0.5"],
        ["schedule=adaptive", "schedule.maximum=1000", "schedule.theta=1"],
        ["schedule=stepwise", "schedule.steps=[[1,9],[4,3],[1000000000,70]]"],
        [*CLASSES],
    ],
    ids=" ".join,
)
def test_what_goes_together_is_taken(overrides):
    assert isinstance(load_config(overrides), RunConfig)


def numbers_in(hint):
    """The range of a number in a declared type, or of the numbers in its lists."""
    if isinstance(hint, Integer | Number):
        yield hint
    for part in (*get_args(hint), *getattr(hint, "__metadata__", ())):
        yield from numbers_in(part)


def numbers_of(kind=RunConfig, prefix=""):
    """Every numeric setting with its range and the class that declares it."""
    for name, hint in declared_fields(kind).items():
        for section in sections(hint):
            yield from numbers_of(section, f"{prefix}{name}.")
        if not sections(hint):
            yield from ((f"{prefix}{name}", hint, mark) for mark in numbers_in(hint))


@pytest.mark.parametrize(
    ("name", "hint", "mark"), [pytest.param(*each, id=each[0]) for each in numbers_of()]
)
def test_every_number_has_two_ends_and_nothing_beyond_them_passes(name, hint, mark):
    kind = int if isinstance(mark, Integer) else float
    read = TypeAdapter(Annotated[kind, mark]).validate_python
    below = mark.low - 1 if kind is int else math.nextafter(mark.low, -math.inf)
    above = mark.high + 1 if kind is int else math.nextafter(mark.high, math.inf)
    wrong = [below, above, -math.inf, math.inf, math.nan, True, "1", "", None, [], {}, 10**400]
    wrong += [mark.low] if getattr(mark, "low_open", False) else []
    wrong += [mark.high] if getattr(mark, "high_open", False) else []
    for value in wrong:
        with pytest.raises(ValidationError):
            read(value)
    middle = read((mark.low + mark.high) // 2 or mark.high / 2)
    assert mark.low <= middle <= mark.high
    assert type(middle) is kind


def composed(*overrides):
    """The untyped, resolved configuration."""
    config = load_config(overrides)
    return OmegaConf.create(settings_tree(config))


@pytest.fixture(scope="module")
def baseline():
    return [
        composed(),
        composed("dataset=mnist", "optimizer=nesterov_sgd", "schedule=fixed"),
        composed(*CLASSES, "optimizer=heskes", "schedule=stepwise"),
    ]


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
anything = st.recursive(plain, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(setting_names()), value=anything, which=st.integers(0, 2))
def test_any_value_for_any_setting_is_taken_or_refused_in_one_line(baseline, name, value, which):
    if isinstance(value, str) and ("${" in value or value == "???"):
        return  # OmegaConf's own notation, tested above
    raw = copy.deepcopy(baseline[which])
    OmegaConf.update(raw, name, value, force_add=True)
    try:
        assert isinstance(validate(raw), RunConfig)
    except UserError as error:
        line = str(error)
        assert line.isprintable()
        assert 0 < len(line) < 300


def test_a_config_reads_back_as_itself(baseline):
    for raw in baseline:
        assert OmegaConf.create(settings_tree(validate(raw))) == raw


def test_flat_settings_are_what_json_gives_back(baseline):
    for raw in baseline:
        flat = flat_settings(validate(raw))
        assert json.loads(json.dumps(flat)) == flat


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("two words", "two words"),
        ("", '""'),
        (" padded", '" padded"'),
        ("line\nbreak", '"line\\nbreak"'),
        ([1, [None, "a"]], "[1,[null,a]]"),
        ("x" * 100, "x" * 57 + "..."),
        ("\udcff", '"\\udcff"'),
    ],
)
def test_a_value_is_shown_on_one_short_line(value, text):
    assert shown(value) == text


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("iteration", "iterations"),
        ("optimizer.lambda_init", "optimizer.lambda_initial"),
        ("learning_rat", "optimizer.learning_rate"),
        ("polyak.decey", "polyak.decay"),
        ("optimiser", "optimizer"),
        ("epochs", "iterations"),
        (
            "optimizer.lr",
            "optimizer.learning_rate, or with torch's adam, adamw, sgd, muon "
            "optimizer.arguments.lr",
        ),
        ("schedule.batch_size", "schedule.size, with schedule=fixed"),
    ],
)
def test_a_mistyped_name_brings_up_the_one_that_was_meant(typed, meant):
    assert suggestion(typed) == f"; did you mean {meant}? kfac-run --cfg job lists them all"


@pytest.mark.parametrize(
    ("typed", "choices"),
    [
        ("schedule.size", "schedule=fixed"),
        ("schedule.initial", "schedule=exponential or schedule=adaptive"),
        ("optimizer.tau2", "optimizer=kfac_tridiag"),
    ],
)
def test_a_setting_of_another_choice_names_that_choice(typed, choices):
    group = typed.partition(".")[0]
    assert suggestion(typed) == (
        f" with this choice of {group}, but with {choices}; kfac-run --cfg job lists them all"
    )


def test_a_name_like_no_other_brings_up_none():
    assert suggestion("xyzzy") == "; kfac-run --cfg job lists them all"


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("schedule.steps={1:500}", "a list in brackets, [A,B]"),
        ("polyak=[0.9,3]", "a group of settings"),
    ],
)
def test_a_list_where_settings_belong_is_told_from_the_other_way_round(typed, wanted):
    overrides = ["schedule=stepwise", typed]
    with pytest.raises(HydraException) as caught:
        load_config(overrides)
    assert explain(caught.value, overrides) == f"{typed}: must be {wanted}"
