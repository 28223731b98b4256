"""Checkpoints with the right checksum and a value that no run saves: refused, by its name."""

import math

import pytest
import torch
from soak.experiment import overrides, write_cases

from kfac_cli.checkpoint.contents import Contents
from kfac_cli.checkpoint.tree import read_tree, write_tree
from kfac_cli.config.compose import load_config
from kfac_cli.config.schema import flat_settings
from kfac_cli.data.registry import load_dataset
from kfac_cli.engine.state_rules import StateError
from kfac_cli.recording.environment import environment
from kfac_cli.run.evaluation import evaluate_session, evaluation_row
from kfac_cli.run.history import History
from kfac_cli.run.session import make_session

ITERATIONS = 6
OPTIMIZERS = ("kfac_tridiag", "kfac_diag", "ekfac", "nesterov_sgd", "adam")
VARIANTS = {
    **{name: (name,) for name in (*OPTIMIZERS, "adamw", "sgd", "muon")},
    "float64": ("kfac_tridiag", "dtype=float64"),
    "doubling": ("kfac_tridiag", "optimizer.sigma_solver=doubling"),
    "exact Tikhonov": ("kfac_diag", "optimizer.tikhonov=exact"),
    "factored Tikhonov": ("kfac_tridiag", "optimizer.tikhonov=factored"),
    "identity": ("kfac_diag", "optimizer.inverse=identity", "optimizer.gamma_rule=fixed"),
    "conjugate gradients": ("kfac_tridiag", "optimizer.cg_steps=3"),
    "separate decay": ("kfac_diag", "optimizer.l2_product=refreshed"),
    "background": (
        "kfac_tridiag",
        *("optimizer.refresh=background", "optimizer.refresh_delay=3", "optimizer.t3=5"),
        "optimizer.tikhonov=factored",  # else the first six iterations wait for theirs
    ),
    "calibration": ("kfac_tridiag", "optimizer.lambda_initial=auto"),
    "adaptive": ("kfac_tridiag", "schedule=adaptive"),
    **{
        algorithm: ("adam", f"optimizer.algorithm={algorithm}")
        for algorithm in ("Adafactor", "Adadelta", "Adagrad", "Adamax", "ASGD", "NAdam", "RAdam")
    },
    **{
        algorithm: ("adam", f"optimizer.algorithm={algorithm}")
        for algorithm in ("RMSprop", "Rprop")
    },
}
NOT_NEGATIVE = (
    "activation",
    "gradient",
    "weights",
    "scalings",
    "_inverse",
    "_eigenvalues",
    "exp_avg_sq",
    "step",
)
"""Ends of the names of tensors that have no negative value, or none on their diagonals."""

MAY_BE_NULL = ("best_test_error", "factors", "inverse", "pending", "previous_update")
MAY_BE_FEWER = ("on_host",)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A function that gives the configuration and a new session of a variant."""
    folder = tmp_path_factory.mktemp("data")
    write_cases(folder / "cases.npz")

    def make(variant):
        optimizer, *changes = VARIANTS[variant]
        words = [
            word
            for word in overrides(folder / "cases.npz", optimizer, ITERATIONS)
            if not ("schedule=adaptive" in changes and word.startswith("schedule."))
        ]
        config = load_config([*words, *changes])
        dataset = load_dataset(config.dataset, folder)
        return config, make_session(config, dataset, torch.device("cpu"))

    return make


def saved(config, session, path):
    """What a checkpoint of the session holds, from the disk."""
    contents = Contents(
        iteration=session.iteration,
        config=flat_settings(config),
        environment=environment(),
        data=session.dataset.fingerprint,
        times=History().times(),
        session=session.state_dict(),
    )
    with path.open("wb") as file:
        write_tree(file, contents.tree())
    return read_tree(path)


def loaded(tree, session):
    """What reading a checkpoint checks, in its order."""
    contents = Contents.of(tree)
    History.times_rule()(contents.times, "times")
    session.load_state_dict(contents.session)


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_a_run_saves_is_loaded(begun, tmp_path, variant):
    """Before its first iteration, in between, and after an evaluation."""
    config, session = begun(variant)
    _, other = begun(variant)
    for iteration in range(ITERATIONS):
        if iteration < 2:
            loaded(saved(config, session, tmp_path / "file"), other)
        session.step()
    row = evaluation_row(session, evaluate_session(session), History().times())
    session.include_evaluation(row)
    loaded(saved(config, session, tmp_path / "file"), other)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_forged_value_is_believed_or_leaves_a_trace(begun, tmp_path, optimizer):
    config, session = begun(optimizer)
    _, other = begun(optimizer)
    for _ in range(ITERATIONS):
        session.step()
    row = evaluation_row(session, evaluate_session(session), History().times())
    session.include_evaluation(row)
    tree = saved(config, session, tmp_path / "file")
    for holder, key, name in places(tree):
        true = holder[key]
        for forged in forgeries(true, name):
            holder[key] = forged
            with pytest.raises(StateError) as caught:
                loaded(tree, other)
                pytest.fail(f"{name}={forged!r} is believed")
            place = str(caught.value)
            assert "\n" not in place
            assert place.startswith(name) or name in ("iteration", "session.optimizer.iteration")
        holder[key] = true
    loaded(tree, other)


def places(value, name="", holder=None, key=None):
    """Every value of times and session, and those around them."""
    if holder is not None:
        yield holder, key, name
    if isinstance(value, dict):
        kept = ("iteration", "times", "session") if holder is None else value
        for each in kept:
            yield from places(value[each], f"{name}.{each}".strip("."), value, each)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from places(each, f"{name}[{index}]", value, index)


def forgeries(true, name):
    """Values of other types, shapes, dtypes and ranges."""
    last = name.rpartition(".")[2].partition("[")[0]
    yield from (object(), {"type": "os.system"}, [[]])
    if last not in MAY_BE_NULL:
        yield None
    if isinstance(true, dict):
        yield {**true, "more": 1}
        yield from ({k: v for k, v in true.items() if k != key} for key in true)
    elif isinstance(true, list):
        yield [*true, *(true[:1] or ["more"])]
        if true and last not in MAY_BE_FEWER:
            yield true[:-1]
    elif isinstance(true, torch.Tensor):
        yield from forged_tensors(true, last.endswith(NOT_NEGATIVE))
    elif isinstance(true, str):
        yield from ("other", 3, True)
    elif isinstance(true, bool):
        yield from (0, 1, "true", 1.0)
    else:
        yield from ("1", True, math.nan, -1, 10**400, torch.tensor(1.0))
        yield from (1.5, 1e300, 2**70) if isinstance(true, int) else (-math.inf,)


def forged_tensors(true, not_negative):
    yield true.tolist()
    yield true[None]
    if not true.is_floating_point():  # the state of a generator
        yield from (true[:-1], torch.zeros_like(true), true.float())
        return
    yield from (true.long(), true.bool(), torch.full_like(true, math.nan))
    if true.dim():
        yield torch.cat([true, true])
    if not_negative:
        yield -1 - true.abs()


def test_a_number_that_fits_no_other_is_named(begun, tmp_path):
    config, session = begun("kfac_tridiag")
    session.step()
    tree = saved(config, session, tmp_path / "file")
    tree["session"]["cases"] = 81
    with pytest.raises(StateError) as caught:
        loaded(tree, session)
    assert str(caught.value) == "session.cases=81: must be a whole number from 1 to 80"


@pytest.mark.parametrize("part", ["config", "environment", "data"])
@pytest.mark.parametrize("value", [3, [], None, {"a": [[[[[[[[[[]]]]]]]]]]}, {"a": torch.ones(2)}])
def test_settings_and_fingerprints_are_plain(begun, tmp_path, part, value):
    config, session = begun("nesterov_sgd")
    tree = saved(config, session, tmp_path / "file")
    with pytest.raises(StateError, match=f"^{part}"):
        loaded({**tree, part: value}, session)
    if part == "data":
        with pytest.raises(StateError, match=r"^data\.train_inputs=3: must be a group"):
            loaded({**tree, part: {"train_inputs": 3}}, session)
