"""From a checked config to the objects of one run: network, optimizer, average, generators."""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from kfac_cli.config import KFACConfig, NesterovConfig, RunConfig
from kfac_cli.data import Dataset
from kfac_cli.engine import (
    KFAC,
    KFACOptions,
    NesterovOptions,
    NesterovSGD,
    Network,
    PolyakAverage,
    StepRecord,
    sparse_initialization,
)
from kfac_cli.errors import UserError
from kfac_cli.schedules import Schedule, make_schedule

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass
class Session:
    """A run's moving parts. `step` draws a mini-batch and advances them by one iteration."""

    network: Network
    optimizer: KFAC | NesterovSGD
    average: PolyakAverage
    schedule: Schedule
    batches: torch.Generator
    dataset: Dataset
    cases: int = 0

    @property
    def iteration(self) -> int:
        """Iterations done."""
        return self.optimizer.iteration

    def step(self) -> tuple[int, StepRecord]:
        """One iteration: the size of its mini-batch and what the optimizer reports."""
        size = self.schedule(self.iteration + 1)
        inputs, targets = draw_batch(self.dataset, size, self.batches)
        record = self.optimizer.step(inputs, targets)
        self.average.update(self.iteration, self.optimizer.parameters)
        self.cases += size
        return size, record


def make_session(config: RunConfig, dataset: Dataset, device: torch.device) -> Session:
    """Everything that one run needs, at iteration 0.

    The seed gives three independent streams: initial parameters, mini-batches and the targets
    sampled by the optimizer. So optimizers that are compared under one seed share the start and
    the mini-batches.
    """
    master = torch.Generator().manual_seed(config.seed)
    initial, batches, targets = (_child(master) for _ in range(3))
    setup = config.dataset
    network = Network(setup.layer_sizes, setup.activations, setup.output)
    dtype = DTYPES[config.dtype]
    parameters = [w.to(device, dtype) for w in sparse_initialization(network, initial)]
    optimizer: KFAC | NesterovSGD
    if isinstance(config.optimizer, KFACConfig):
        optimizer = KFAC(network, parameters, _kfac_options(config, config.optimizer), targets)
    else:
        nesterov_options = _nesterov_options(config, config.optimizer)
        optimizer = NesterovSGD(network, parameters, nesterov_options, targets)
    return Session(
        network=network,
        optimizer=optimizer,
        average=PolyakAverage(config.polyak.decay, config.polyak.start),
        schedule=make_schedule(config.schedule, dataset.train_inputs.shape[0]),
        batches=batches,
        dataset=dataset,
    )


def choose_device(setting: str) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`; `auto` takes a GPU where there is one.

    Raises UserError where `cuda` is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if setting == "cuda" and not available:
        raise UserError("device=cuda: no CUDA device was found; use device=auto or device=cpu")
    return torch.device("cuda" if available and setting != "cpu" else "cpu")


def draw_batch(dataset: Dataset, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A mini-batch of `size` training cases in random order, without replacement."""
    cases = dataset.train_inputs.shape[0]
    index = torch.randperm(cases, generator=generator)[:size]
    inputs = dataset.train_inputs[index]
    if dataset.train_targets is dataset.train_inputs:
        return inputs, inputs
    return inputs, dataset.train_targets[index]


def _child(master: torch.Generator) -> torch.Generator:
    seed = int(torch.randint(2**62, (), generator=master).item())
    return torch.Generator().manual_seed(seed)


def _kfac_options(config: RunConfig, optimizer: KFACConfig) -> KFACOptions:
    return KFACOptions(**_shared(config, optimizer, KFACOptions))


def _nesterov_options(config: RunConfig, optimizer: NesterovConfig) -> NesterovOptions:
    shared = _shared(config, optimizer, NesterovOptions)
    return NesterovOptions(**shared, iterations=config.iterations)


def _shared(config: RunConfig, optimizer: object, options: type) -> dict[str, Any]:
    """The settings of `optimizer`, and the general ones, that the engine's options know."""
    known = {field.name for field in fields(options)}
    settings = {name: value for name, value in vars(optimizer).items() if name in known}
    return {**settings, "l2": config.l2, "chunk_size": config.chunk_size}
