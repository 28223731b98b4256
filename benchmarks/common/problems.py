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

NEVER = 10**9
PLAIN = (
    f"optimizer.t1={NEVER}",
    f"optimizer.t2={NEVER}",
    f"optimizer.t3={NEVER}",
    "optimizer.lambda_initial=150",
    "optimizer.tikhonov=factored",
)
"""K-FAC without calibration and, after three iterations, with neither ρ nor a new inverse."""


@dataclass(frozen=True)
class Problem:
    """A dataset and a network, as settings of `kfac-run`; its data are loaded once.

    With `random_cases`, there are so many random cases of the network's width in their place, for
    times, which do not depend on the values. They have a few latent causes, as images have.
    """

    settings: tuple[str, ...]
    random_cases: int = 0

    @property
    def network(self) -> Network:
        """Its network."""
        setup = load_config(self.settings).dataset
        return Network(setup.layer_sizes, setup.activations, setup.output)

    def data(self) -> Dataset:
        """Its data. Raises UserError if they are missing."""
        if self.random_cases:
            return _random(self.network.layer_sizes[0], self.random_cases)
        return _loaded(self.settings)

    def or_random(self, cases: int) -> tuple["Problem", str | None]:
        """This problem or, with the reason, one of random cases where its data cannot be had."""
        try:
            self.data()
        except UserError as error:
            return Problem(self.settings, cases), f"random cases in place of the data: {error}"
        return self, None

    def session(self, settings: Sequence[str], device: str = "cpu") -> Session:
        """A new session with further settings."""
        config = load_config([*self.settings, *settings])
        return make_session(config, self.data(), torch.device(device))


MNIST = Problem(("dataset=mnist",))
SMALL = Problem(
    (
        "dataset=arrays",
        "dataset.file=none",
        "dataset.output=bernoulli",
        "dataset.layer_sizes=[32,16,8,16,32]",
        "dataset.activations=[logistic,linear,logistic]",
        "dataset.connections=5",
    ),
    random_cases=400,
)


@dataclass(frozen=True)
class Scale:
    """A problem and the mini-batch sizes at which it is timed, in so many rounds."""

    problem: Problem
    sizes: tuple[int, ...]
    rounds: int


def scale(small: bool, rounds: int = 9) -> Scale:
    """MNIST with 1,000 and 5,000 cases, or a problem of milliseconds."""
    return Scale(SMALL, (40, 80), 2) if small else Scale(MNIST, (1000, 5000), rounds)


@cache
def _loaded(settings: tuple[str, ...]) -> Dataset:
    config = load_config(settings)
    return load_dataset(config.dataset, resolve_data_dir(config.data_dir), config.dtype)


@cache
def _random(width: int, cases: int) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(cases, 16, generator=generator)
    values = torch.sigmoid(latent @ torch.randn(16, width, generator=generator))
    return Dataset.autoencoder("random", values.numpy(), values[:1000].numpy(), None)
