"""Degenerate but valid problems work with every optimizer.

All values are finite, the objective does not increase, and it decreases if it can.
"""

import io
import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from soak.compare import differences
from soak.experiment import composed, prepare

from kfac_cli.config.validation import validate
from kfac_cli.engine import (
    KFAC,
    KFACOptions,
    NesterovOptions,
    NesterovSGD,
    Network,
    evaluate,
    sparse_initialization,
)
from kfac_cli.recording.csv_table import read_table
from kfac_cli.recording.progress import Progress
from kfac_cli.run.runner import run

CASES = 12
ROUNDING = 1e-6  # relative; of objectives in float32


@dataclass(frozen=True)
class Problem:
    """A network, its initial parameters and its data; without `targets`, an autoencoder.

    It starts at `scale` times the sparse initialisation, plus `bias` in the first layer. If nothing
    distinguishes the cases, `only_the_mean` of the targets can be learnt. At the end, at most the
    share `left` of the loss above that of the best predictions remains.
    """

    sizes: list[int]
    activations: list[str]
    output: str
    inputs: torch.Tensor
    targets: torch.Tensor | None = None
    left: float | None = None
    scale: float = 1.0
    bias: float = 0.0
    only_the_mean: bool = False
    batch: int | None = None
    l2: float = 1e-5
    chunk_size: int = 100
    fractions: dict[str, float] = field(default_factory=dict)
    steps: int = 20

    @property
    def network(self) -> Network:
        return Network(self.sizes, self.activations, self.output)

    def start(self) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(1)
        parameters = [self.scale * w for w in sparse_initialization(self.network, generator)]
        parameters[0][:, -1] += self.bias
        return parameters

    def lowest_loss(self) -> float:
        targets = self.inputs if self.targets is None else self.targets
        best = targets.mean(0).expand_as(targets) if self.only_the_mean else targets
        logits = {"bernoulli": torch.logit, "gaussian": lambda y: y, "categorical": torch.log}
        distribution = self.network.distribution
        return float(distribution.loss(logits[self.output](best), targets).nan_to_num().mean())


def random(cases=CASES, width=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(cases, width, generator=generator, dtype=torch.float64)


def constant(value, cases=CASES, width=5):
    return torch.full((cases, width), value, dtype=torch.float64)


def bits(cases=CASES, width=5, seed=0):
    return (random(cases, width, seed) > 0.5).double()


def classes(*labels, count=3):
    return torch.eye(count, dtype=torch.float64)[torch.tensor(labels)]


def sums(inputs):
    """Three targets that are linear in the inputs."""
    return inputs[:, :3] - inputs[:, 2:]


CODER = ([5, 4, 5], ["logistic"], "bernoulli")
CLASSIFIER = ([5, 4, 3], ["tanh"], "categorical")
REGRESSION = ([5, 4, 3], ["tanh"], "gaussian")
RECTIFIED = ([5, 6, 6, 5], ["relu", "relu"], "bernoulli")


def deep(activation, output):
    return [5, *[4] * 19, 5], [activation] * 19, output


ONE, SAME = random(1), constant(0.5)
PROBLEMS = {
    # Few cases
    "one case": Problem(*CODER, ONE, left=0.05),
    "one case of a regression": Problem(*REGRESSION, ONE, sums(ONE), left=0.05),
    "one case of a class": Problem(*CLASSIFIER, ONE, classes(1), left=0.05),
    "the same case again and again": Problem(*CODER, ONE.repeat(CASES, 1), left=0.05),
    "mini-batches of one case": Problem(
        *REGRESSION, random(), sums(random()), batch=1, left=0.5, steps=60
    ),
    # Few units
    "a layer of one unit": Problem([5, 1, 5], ["logistic"], "bernoulli", random(), left=0.9),
    "one unit in every layer": Problem(
        [1, 1, 1, 1], ["logistic", "tanh"], "bernoulli", random(width=1), left=0.97
    ),
    "one weight and one bias": Problem(
        [1, 1], [], "gaussian", random(width=1), 2 + 3 * random(width=1), left=0.06
    ),
    # Inactive units
    "dead units": Problem(*RECTIFIED, random(), bias=-1e2, only_the_mean=True, left=0.1),
    "weights of 0": Problem(*RECTIFIED, random(), scale=0, only_the_mean=True, left=0.1),
    "weights of 0 in logistic units": Problem(
        [5, 4, 4, 5], ["logistic"] * 2, "bernoulli", random(), scale=0, left=0.95
    ),
    "saturated units": Problem(*CODER, random(), scale=1e2, left=0.95),
    "saturated units that are all wrong": Problem(
        *CODER, random(), constant(0.0), scale=1e4, left=1 - 1e-4
    ),
    "saturated tanh units": Problem(*REGRESSION, random(), sums(random()), scale=1e3, left=0.05),
    "a saturated softmax": Problem(
        *CLASSIFIER, random(), classes(*[0, 1, 2] * 4), scale=1e3, left=1 - 1e-4
    ),
    # Cases without information
    "constant inputs": Problem(*REGRESSION, SAME, random(width=3), only_the_mean=True, left=0.05),
    "constant inputs and targets": Problem(*CODER, SAME, left=0.05),
    "inputs of 0": Problem(
        *REGRESSION, constant(0.0), random(width=3), only_the_mean=True, left=0.05
    ),
    "inputs and targets of 0": Problem(*CODER, constant(0.0), left=0.1),
    "inputs and targets of 1": Problem(*CODER, constant(1.0), left=0.1),
    "nothing left to learn": Problem([5, 4, 5], ["linear"], "gaussian", constant(0.0)),
    "one class": Problem([5, 4, 1], ["tanh"], "categorical", random(), constant(1.0, width=1)),
    # Targets at the ends
    "targets of 0 and 1": Problem(*CODER, random(), bits(seed=1), left=0.8),
    "inputs and targets of 0 and 1": Problem(
        [5, 8, 5], ["logistic"], "bernoulli", bits(), left=0.6
    ),
    "a class that never occurs": Problem(*CLASSIFIER, random(), classes(*[0, 2] * 6), left=0.8),
    "one class that always occurs": Problem(*CLASSIFIER, random(), classes(*[2] * 12), left=0.05),
    # Many layers
    "20 layers of logistic units": Problem(
        *deep("logistic", "bernoulli"), random(), only_the_mean=True, left=0.1, steps=10
    ),
    "20 layers of tanh units": Problem(
        *deep("tanh", "gaussian"), random(), only_the_mean=True, left=0.1, steps=10
    ),
    "20 layers of rectified units": Problem(
        *deep("relu", "gaussian"), random(), only_the_mean=True, left=0.4, steps=10
    ),
    "20 layers of one unit": Problem(
        [1] * 21, ["tanh"] * 19, "gaussian", random(width=1), only_the_mean=True, left=0.1, steps=10
    ),
    # Settings at their ends
    "no l2": Problem(*CODER, random(), l2=0.0, left=0.5),
    "no l2, one case": Problem(*REGRESSION, ONE, sums(ONE), l2=0.0, left=0.05),
    "no l2, dead units": Problem(
        *RECTIFIED, random(), bias=-1e2, l2=0.0, only_the_mean=True, left=0.1
    ),
    "no l2, weights of 0": Problem(
        *RECTIFIED, random(), scale=0, l2=0.0, only_the_mean=True, left=0.1
    ),
    "no l2, inputs of 0": Problem(*CODER, constant(0.0), l2=0.0, left=0.1),
    "no l2, saturated units": Problem(*CODER, random(), scale=1e2, l2=0.0, left=0.95),
    "no l2, nothing left to learn": Problem(
        [5, 4, 5], ["linear"], "gaussian", constant(0.0), l2=0.0
    ),
    "chunks of one case": Problem(*CODER, random(), chunk_size=1, left=0.5),
    "statistics of one case": Problem(
        *CODER, random(), fractions={"tau1": 1e-9, "tau2": 1e-9}, left=0.6
    ),
    "huge inputs": Problem(*CODER, 1e6 * random(), bits(seed=1), left=0.9),
    "tiny inputs and targets": Problem([5, 4, 5], ["linear"], "gaussian", 1e-8 * random()),
}


def kfac(**options: Any) -> Callable[[Problem, list[torch.Tensor]], KFAC]:
    def make(problem, parameters):
        sizes = {"l2": problem.l2, "chunk_size": problem.chunk_size}
        return KFAC(
            problem.network,
            parameters,
            KFACOptions(**({"t1": 5, "t2": 10, "t3": 5} | sizes | problem.fractions | options)),
            torch.Generator().manual_seed(2),
        )

    return make


def nesterov(problem, parameters):
    options = NesterovOptions(
        l2=problem.l2, chunk_size=problem.chunk_size, final_iterations=0, learning_rate=0.05
    )
    return NesterovSGD(problem.network, parameters, options)


DIAGONAL = {"inverse": "block_diagonal"}
HESKES = {
    **DIAGONAL,
    "pi": "one",
    "fisher": "exact",
    "lambda_initial": 0.01,
    "lambda_rule": "fixed",
    "gamma_rule": "fixed",
    "rescaling": False,
    "momentum": False,
    "learning_rate": 0.1,
}
OPTIMIZERS = {
    "block-tridiagonal": kfac(lambda_initial=1.0),
    "block-tridiagonal, calibrated": kfac(lambda_initial="auto"),
    "block-tridiagonal, doubling": kfac(lambda_initial=1.0, sigma_solver="doubling"),
    "block-diagonal": kfac(lambda_initial=1.0, **DIAGONAL),
    "block-diagonal, calibrated": kfac(lambda_initial="auto", **DIAGONAL),
    "exact Tikhonov": kfac(lambda_initial=1.0, tikhonov="exact", **DIAGONAL),
    "held momentum, calibrated": kfac(lambda_initial="auto", mu=0.8, alpha_scale=0.5),
    "Heskes": kfac(**HESKES),
    "Nesterov": nesterov,
}
PATIENCE = {"Nesterov": 10}  # times the steps: they are small, and cost little
CALIBRATED = [name for name in OPTIMIZERS if "calibrated" in name]

CHOICES = [(problem, optimizer, "float32") for problem in PROBLEMS for optimizer in OPTIMIZERS]
CHOICES += [
    (problem, optimizer, "float64") for problem in PROBLEMS for optimizer in ("block-tridiagonal",)
]


class Training:
    """The training on a problem: objective and loss before and after, and the steps' records."""

    def __init__(self, problem, make, dtype, steps):
        self.problem = problem
        inputs = problem.inputs.to(dtype)
        targets = inputs if problem.targets is None else problem.targets.to(dtype)
        self.optimizer = make(problem, [w.to(dtype) for w in problem.start()])
        self.start = self._measure(inputs, targets)
        self.records = []
        order = torch.Generator().manual_seed(3)
        for _ in range(steps):
            rows = torch.randperm(len(inputs), generator=order)[: problem.batch]
            batch = inputs[rows]
            labels = batch if targets is inputs else targets[rows]
            self.records.append(self.optimizer.step(batch, labels))
        self.end = self._measure(inputs, targets)

    def _measure(self, inputs, targets):
        parameters = self.optimizer.parameters
        loss = evaluate(self.problem.network, parameters, inputs, targets, len(inputs)).loss
        square = sum(float(w.double().square().sum()) for w in parameters)
        return loss + self.problem.l2 / 2 * square, loss

    @property
    def rejections(self):
        return sum(record.outcome != "accepted" for record in self.records)


def assert_all_finite(training):
    for number, record in enumerate(training.records, 1):
        known = {name: value for name, value in asdict(record).items() if value is not None}
        values = {name: value for name, value in known.items() if name != "outcome"}
        assert all(math.isfinite(value) for value in values.values()), (number, values)
    assert all(bool(torch.isfinite(w).all()) for w in training.optimizer.parameters)


@pytest.mark.parametrize(("problem", "optimizer", "dtype"), CHOICES)
def test_a_degenerate_problem_works(problem, optimizer, dtype):
    setup = PROBLEMS[problem]
    steps = setup.steps * PATIENCE.get(optimizer, 1)
    training = Training(setup, OPTIMIZERS[optimizer], getattr(torch, dtype), steps)
    assert_all_finite(training)
    # A calibrated damping is low, and one case says little about the next: there, some steps are
    # rejected. Nowhere else is one.
    may_reject = optimizer in CALIBRATED or setup.batch is not None
    assert training.rejections <= (steps // 5 if may_reject else 0)
    (objective, loss), (last_objective, last_loss) = training.start, training.end
    assert last_objective <= objective * (1 + ROUNDING)
    if setup.left is not None:
        lowest = setup.lowest_loss()
        assert last_loss - lowest <= setup.left * (loss - lowest)


@pytest.mark.parametrize("sizes", [[2000, 1, 3], [1, 2000, 3]])
@pytest.mark.parametrize("optimizer", ["block-tridiagonal", "block-diagonal"])
def test_a_layer_of_one_unit_works_next_to_one_of_2000(sizes, optimizer):
    """F on all 12 cases: a quarter of them says too little about a step in 2000 dimensions."""
    inputs, fractions = random(width=sizes[0]), {"tau2": 1.0}
    problem = Problem(sizes, ["tanh"], "gaussian", inputs, sums(random()), fractions=fractions)
    training = Training(problem, OPTIMIZERS[optimizer], torch.float32, steps=1)
    assert_all_finite(training)
    assert training.rejections == 0
    assert training.end[0] < training.start[0]


DEMANDING = {
    "20 linear layers, whose outputs are in the thousands": Problem(
        *deep("linear", "gaussian"), random(), left=0.1
    ),
    "huge inputs and targets": Problem([5, 4, 5], ["linear"], "gaussian", 1e6 * random(), left=0.1),
}


@pytest.mark.parametrize("problem", DEMANDING)
@pytest.mark.parametrize("optimizer", CALIBRATED)
def test_a_calibrated_damping_fits_a_huge_objective(problem, optimizer):
    """A λ of 1, or a learning rate chosen for other problems, would not work."""
    setup = DEMANDING[problem]
    training = Training(setup, OPTIMIZERS[optimizer], torch.float32, setup.steps)
    assert_all_finite(training)
    assert training.end[1] <= setup.left * training.start[1]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_mini_batches_of_one_class_stay_finite(optimizer):
    """They do not train well: a case of one class is fitted at the expense of the others."""
    setup = Problem(*CLASSIFIER, random(), classes(*[0, 1, 2] * 4), batch=1)
    training = Training(setup, OPTIMIZERS[optimizer], torch.float32, setup.steps)
    assert_all_finite(training)


# Whole runs


@pytest.fixture
def words(tmp_path):
    """The command line of a run on one case whose pixels are all the same."""
    case = np.full((1, 6), 0.25, np.float32)
    np.savez(tmp_path / "case.npz", train_inputs=case, test_inputs=case)
    return [
        "dataset=arrays",
        f"dataset.file={tmp_path / 'case.npz'}",
        "dataset.layer_sizes=[6,1,6]",
        "dataset.activations=[logistic]",
        "dataset.output=bernoulli",
        "dataset.image_shape=[2,3]",
        "schedule=fixed",
        "schedule.size=1",
        "iterations=6",
        "evaluate_every=2",
        "polyak.start=3",
    ]


def start(folder, words):
    """Start a run as kfac-run does, but faster."""
    config = validate(composed(tuple(words)))
    prepare(folder, words)
    with Progress(config.iterations, io.StringIO()) as progress:
        return run(config, folder, progress)


def assert_a_good_run(folder, caplog):
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []
    metrics, evaluations = (read_table(folder / f"{name}.csv") for name in TABLES)
    for row in [*metrics, *evaluations]:
        numbers = [value for value in row.values() if isinstance(value, int | float)]
        assert all(map(math.isfinite, numbers)), row
    assert {row["outcome"] for row in metrics} == {"accepted"}
    assert evaluations[-1]["train_error"] <= evaluations[0]["train_error"]


TABLES = ("metrics", "evaluations")
METHODS = ["kfac_tridiag", "kfac_diag", "heskes", "nesterov_sgd"]


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("method", METHODS)
def test_a_run_on_one_case_of_constant_pixels_trains_draws_and_resumes(
    kfac_run, words, tmp_path, caplog, method
):
    words = [*words, f"optimizer={method}"]
    assert start(tmp_path / "whole", words).status == "finished"
    assert_a_good_run(tmp_path / "whole", caplog)
    assert (tmp_path / "whole/run.png").read_bytes().startswith(b"\x89PNG")
    start(tmp_path / "parts", [*words, "iterations=4"])
    assert kfac_run("resume=parts", "iterations=6").code == 0
    assert differences(tmp_path / "parts", tmp_path / "whole") == []


@pytest.mark.parametrize("schedule", ["exponential", "fixed", "stepwise", "adaptive"])
def test_every_schedule_works_with_one_case(words, tmp_path, caplog, schedule):
    others = [word for word in words if not word.startswith("schedule")]
    start(tmp_path / "run", [*others, f"schedule={schedule}", "tensorboard=false"])
    assert_a_good_run(tmp_path / "run", caplog)
    sizes = [row["batch_size"] for row in read_table(tmp_path / "run/metrics.csv")]
    assert sizes == [1] * 6


def test_one_case_of_one_class_among_three_is_classified(words, tmp_path, caplog):
    label = np.zeros(1, np.int64)
    case = np.load(tmp_path / "case.npz")["train_inputs"]
    np.savez(
        tmp_path / "case.npz",
        train_inputs=case,
        test_inputs=case,
        train_targets=label,
        test_targets=label,
    )
    words += ["dataset.layer_sizes=[6,1,3]", "dataset.output=categorical", "tensorboard=false"]
    start(tmp_path / "run", [*words, "dataset.image_shape=null"])
    assert_a_good_run(tmp_path / "run", caplog)
    last = read_table(tmp_path / "run/evaluations.csv")[-1]
    assert last["train_error"] == last["test_error"] == 0


def test_nothing_left_to_learn_is_no_divergence(words, tmp_path, caplog):
    np.savez(tmp_path / "case.npz", train_inputs=np.zeros((1, 6)), test_inputs=np.zeros((1, 6)))
    words += [
        "dataset.output=gaussian",
        "dataset.activations=[linear]",
        "l2=0",
        "tensorboard=false",
    ]
    assert start(tmp_path / "run", [*words, "iterations=30"]).status == "finished"
    assert_a_good_run(tmp_path / "run", caplog)
    assert read_table(tmp_path / "run/evaluations.csv")[-1]["train_error"] == 0
