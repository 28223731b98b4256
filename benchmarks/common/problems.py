"""Sessions to be timed: the same state of a run that `kfac-run` steps through, without its files.

Settings are those of `kfac-run`. A session draws its mini-batches and steps as a run does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch

from kfac_cli.config.compose import load_config
from kfac_cli.data.dataset import Dataset
from kfac_cli.data.folder import resolve_data_dir
from kfac_cli.data.registry import load_dataset
from kfac_cli.engine import Network
from kfac_cli.errors import UserError
from kfac_cli.run.session import Session, make_session

MNIST = ("dataset=mnist",)
SMALL = ("experiment=smoke", "dataset.layer_sizes=[784,32,16,8,16,32,784]")
NEVER = 10**9
PLAIN = (
    f"optimizer.t1={NEVER}",
    f"optimizer.t2={NEVER}",
    f"optimizer.t3={NEVER}",
    "optimizer.lambda_initial=150",
)
"""K-FAC without calibration and, after three iterations, with neither ρ nor a new inverse."""

INVERSES = {"block-tridiagonal": "kfac_tridiag", "block-diagonal": "kfac_diag"}
"""What a table calls an inverse, and the optimizer of `kfac-run`."""

REFRESHES = 3
"""First iterations, each of which makes a new inverse (algorithm 2)."""


@dataclass(frozen=True)
class Scale:
    """A problem and the mini-batch sizes at which it is timed."""

    problem: tuple[str, ...]
    sizes: tuple[int, ...]
    rounds: int


def scale(small: bool, rounds: int = 11) -> Scale:
    """MNIST with 1,000 and 5,000 cases, or a problem of milliseconds."""
    return Scale(SMALL, (40, 80), 2) if small else Scale(MNIST, (1000, 5000), rounds)


@cache
def dataset(problem: tuple[str, ...]) -> Dataset:
    """The data of a problem, loaded once. Raises UserError if they are missing."""
    config = load_config(problem)
    return load_dataset(config.dataset, resolve_data_dir(config.data_dir), config.dtype)


@cache
def random_dataset(problem: tuple[str, ...], cases: int = 60_000) -> Dataset:
    """Random cases of a problem's width, for times that do not depend on the values.

    They have a few latent causes, as images have.
    """
    width = load_config(problem).dataset.layer_sizes[0]
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(cases, 16, generator=generator)
    values = torch.sigmoid(latent @ torch.randn(16, width, generator=generator))
    return Dataset.autoencoder("random", values.numpy(), values[:1000].numpy(), None)


def dataset_or_random(problem: tuple[str, ...]) -> tuple[Dataset, str | None]:
    """The data of a problem or, with the reason, random cases where they cannot be had."""
    try:
        return dataset(problem), None
    except UserError as error:
        return random_dataset(problem), f"random cases in place of the data: {error}"


def session(
    problem: tuple[str, ...],
    settings: Sequence[str],
    device: str = "cpu",
    data: Dataset | None = None,
) -> Session:
    """A new session of a problem with further settings of `kfac-run`."""
    config = load_config([*problem, *settings])
    return make_session(config, data or dataset(problem), torch.device(device))


def fixed(size: int) -> tuple[str, ...]:
    """The settings for mini-batches of one size."""
    return ("schedule=fixed", f"schedule.size={size}")


def network(problem: tuple[str, ...]) -> Network:
    """The network of a problem."""
    setup = load_config(problem).dataset
    return Network(setup.layer_sizes, setup.activations, setup.output)
