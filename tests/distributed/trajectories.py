"""Short trainings by the engine, the same in any number of processes."""

from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed

from kfac_cli.engine import KFACOptions, Network, sparse_initialization
from kfac_cli.engine.options.baselines import NesterovOptions, TorchOptions
from kfac_cli.engine.processes import Processes
from kfac_cli.engine.registry import make_optimizer

GIVEN = {"lambda_initial": 1.0}
"""λ₀ without its calibration, whose many short sums take most of the time; the first one has it."""

OFTEN = {"t2": 10, "t3": 5}
"""So that few iterations have a search for γ and refreshes of the inverse."""

OPTIMIZERS = {
    "block-tridiagonal": KFACOptions(inverse="block_tridiagonal", **OFTEN),
    "block-diagonal": KFACOptions(inverse="block_diagonal", l2=0.0, **GIVEN, **OFTEN),
    "ekfac": KFACOptions(inverse="ekfac", **GIVEN, **OFTEN),
    "in the background": KFACOptions(refresh="background", refresh_delay=3, **GIVEN, **OFTEN),
    "Nesterov": NesterovOptions(learning_rate=0.02),
    "Adam": TorchOptions(algorithm="Adam", arguments={"lr": 0.01}),
}


def trajectory(options, iterations, dtype):
    """The objectives of each iteration, and the parameters at the end."""
    generator = torch.Generator().manual_seed(4)
    sizes = [12, 9, 5, 9, 12]
    network = Network(sizes, ["tanh"] * 3, "bernoulli", processes=Processes.here())
    parameters = [w.to(dtype) for w in sparse_initialization(network, generator)]
    data = torch.rand(600, 12, generator=generator, dtype=torch.float64).round().to(dtype)
    optimizer = make_optimizer(network, parameters, options, generator, iterations)
    objectives = []
    for _ in range(iterations):
        inputs = data[torch.randperm(600, generator=generator)[:301]]
        record = optimizer.step(inputs, inputs, measure_noise=True)
        objectives.append([record.objective, record.error, record.noise_scale or 0.0])
    return torch.tensor(objectives, dtype=torch.float64), optimizer.parameters


def trajectories(iterations, dtype):
    return {name: trajectory(each, iterations, dtype) for name, each in OPTIMIZERS.items()}


def save_trajectories(file: Path, lengths) -> None:
    """In a process of several: for each dtype and number of iterations."""
    distributed.init_process_group("gloo", timeout=timedelta(seconds=30))
    found = {str(dtype): trajectories(iterations, dtype) for dtype, iterations in lengths}
    torch.save(found, file.with_name(f"{file.name}-{distributed.get_rank()}"))
    distributed.destroy_process_group()
