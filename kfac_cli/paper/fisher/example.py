"""The example network of figures 2, 3, 5 and 6: a small classifier, partially trained."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kfac_cli.commands.quoting import quoted
from kfac_cli.config.schema import RunConfig
from kfac_cli.data.dataset import Dataset
from kfac_cli.data.folder import resolve_data_dir
from kfac_cli.engine import KFAC, Network, Parameters, evaluate
from kfac_cli.engine.curvature.dense import check_size
from kfac_cli.errors import UserError, shown
from kfac_cli.paper.checked_settings import checked
from kfac_cli.paper.fisher.images import FILE, Images, load_images
from kfac_cli.paper.option_values import refuse
from kfac_cli.paper.study import Job
from kfac_cli.run.runner import process_for
from kfac_cli.run.session import Session, make_session

HIDDEN = [20, 20, 20, 20, 20]

LEAST_LAYERS = 5
"""Three layers between the first and the last: with fewer, nothing is beyond the tridiagonal."""

CHOSEN = (
    *("dataset", "dataset.file", "dataset.output", "dataset.train_cases", "optimizer", "preset"),
    *("experiment", "schedule", "schedule.size", "start_from", "hydra.run.dir"),
)
"""What the study chooses itself."""

TRAINING = (
    "dataset=arrays",
    "dataset.output=categorical",
    f"dataset.activations=[{','.join(['tanh'] * len(HIDDEN))}]",
    "optimizer=kfac_tridiag",
    "optimizer.tikhonov=factored",
    "optimizer.tau1=1",
    "optimizer.tau2=1",
    "optimizer.t2=1",
    "optimizer.t3=1",
    f"optimizer.omega2={(19 / 20) ** 10}",
    "schedule=fixed",
    "iterations=7",
)
"""K-FAC in batch mode for 7 iterations; in so few, γ and the inverse must follow in each.

So T₂ = T₃ = 1 in place of the paper's 20, and ω₂ is that of 10 iterations in each.

Damping is the paper's from the first iteration on, as that of the matrices that are drawn.
"""

ITERATIONS_LATER = 22
"""After which the paper's network makes no error (figure 2)."""


@dataclass(frozen=True)
class Example:
    """The network after its training: `gamma` and `pi` are how K-FAC damped its last inverse.

    `inputs` (N, d_0) are the training cases, `error` is their error rate, and `error_later` that
    after `ITERATIONS_LATER`. `notes` say what a reader must know about data and training.
    """

    network: Network
    parameters: Parameters
    inputs: Tensor
    gamma: float
    pi: str
    error: float
    error_later: float
    iterations: int
    notes: tuple[str, ...]

    @property
    def layers(self) -> range:
        """The middle layers: all but the first and the last."""
        return range(1, len(self.parameters) - 1)

    @property
    def chain(self) -> tuple[int, ...]:
        """The widths of the layers between which these are."""
        return self.network.layer_sizes[1:-1]


def train_example(job: Job) -> Example:
    """Train the network; the images are left in the study's folder for `dataset=arrays`.

    Raises UserError for settings that are not allowed and layers that are too few or too large.
    """
    refuse(job.settings, CHOSEN)
    config, images = _prepared(job)
    inputs, targets = (torch.from_numpy(each) for each in (images.inputs, images.targets))
    dataset = Dataset(config.dataset.name, inputs, targets, inputs, targets, None)
    with process_for(config, None) as device:
        session = make_session(config, dataset, device)
        optimizer = session.optimizer
        assert isinstance(optimizer, KFAC)
        reached = _error_at(session, config.iterations)
        job.say(f"trained for {config.iterations} iterations: error rate {reached:.1%}")
        parameters, gamma = optimizer.parameters, optimizer.gamma
        later = _error_at(session, ITERATIONS_LATER)
        job.say(f"trained for {session.iteration} iterations: error rate {later:.1%}")
        inputs, _ = session.training.all()
    sizes = "-".join(map(str, session.network.layer_sizes))
    notes = (
        f"The network is {sizes} on {images.note}.",
        "The paper's 256-20-20-20-20-10 has five layers of weights, of which four with 20 units "
        "cannot lie in the middle; one layer more makes it so.",
        f"λ₀ is {optimizer.options.lambda_initial} (150, the paper's for the autoencoders, leaves "
        f"this network untrained); γ is {gamma:.3g} in the last iteration.",
        "γ and the inverse follow in every iteration (T₂ = T₃ = 1, not the paper's 20).",
    )
    return Example(
        session.network,
        parameters,
        inputs,
        gamma,
        optimizer.options.pi,
        reached,
        later,
        config.iterations,
        notes,
    )


def _error_at(session: Session, iteration: int) -> float:
    """The error rate on the training cases after so many iterations, or as many as were done."""
    while session.iteration < iteration:
        session.step()
    optimizer = session.optimizer
    cases = session.training.all()
    return evaluate(session.network, optimizer.parameters, *cases, optimizer.chunk_size).error


def _prepared(job: Job) -> tuple[RunConfig, Images]:
    """The settings of the training, and its images, which are written into the folder."""
    path = job.folder / FILE
    base = [*TRAINING, f"dataset.file={quoted(path)}"]
    first = checked([*base, f"dataset.layer_sizes={[1, *HIDDEN, 2]}", *job.settings])
    images = load_images(resolve_data_dir(first.data_dir), job.scale)
    cases, pixels = images.inputs.shape
    sizes = [pixels, *HIDDEN, images.targets.shape[1]]
    words = [f"dataset.layer_sizes={sizes}", f"schedule.size={cases}", *job.settings]
    config = checked([*base, *words])
    _check_layers(config.dataset.layer_sizes)
    images.save(path)
    return config, images


def _check_layers(layer_sizes: Sequence[int]) -> None:
    setting = f"dataset.layer_sizes={shown(layer_sizes)}"
    if len(layer_sizes) - 1 < LEAST_LAYERS:
        raise UserError(
            f"{setting}: needs at least {LEAST_LAYERS} layers of weights, so that three of them "
            "lie between the first and the last"
        )
    middle = layer_sizes[1:-1]
    below, above = middle[:-1], middle[1:]
    check_size(sum((p + 1) * q for p, q in zip(below, above, strict=True)), setting)
