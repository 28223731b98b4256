"""Modules, mini-batches and steps for the tests of KFACOptimizer."""

import torch
from torch import nn

from kfac_cli import KFACOptimizer

CASES, WIDTH, OUTPUTS = 24, 5, 3
OUTPUT_NAMES = ("categorical", "bernoulli", "gaussian")
# Short periods: a few steps include stale and fresh inverses, a search for γ and the rule for λ.
OPTIONS = {"t1": 2, "t2": 4, "t3": 4, "tau1": 0.5, "tau2": 0.5}


def mlp(dtype=torch.float32, seed=0, outputs=OUTPUTS):
    """5-4-4-3 with tanh and ReLU, one of them in a nested Sequential."""
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Linear(WIDTH, 4), nn.Tanh())
    return nn.Sequential(body, nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, outputs)).to(dtype)


def batch(output, step=0, dtype=torch.float32, cases=CASES):
    """Inputs (m, 5) and targets as users have them: labels, probabilities or numbers."""
    generator = torch.Generator().manual_seed(100 + step)
    inputs = torch.randn(cases, WIDTH, generator=generator, dtype=dtype)
    if output == "categorical":
        return inputs, torch.randint(OUTPUTS, (cases,), generator=generator)
    targets = torch.rand(cases, OUTPUTS, generator=generator, dtype=dtype)
    return inputs, targets


OVERFLOWING = 5e37
"""A factor of inputs for which sums over the cases of a mini-batch are no float32 numbers."""


def optimizer_of(module, output="categorical", **options):
    return KFACOptimizer(module, output=output, **{**OPTIONS, **options})


def take_steps(optimizer, output, steps, first=0, dtype=torch.float32):
    """Steps on the mini-batches first, first + 1, …; returns the losses."""
    return [optimizer.step(*batch(output, first + step, dtype)) for step in range(steps)]


def values(module):
    return [parameter.detach().clone() for parameter in module.parameters()]


def same(module, other):
    """Whether two modules, or lists of tensors, have bit for bit the same values."""
    first, second = (
        values(each) if isinstance(each, nn.Module) else list(each) for each in (module, other)
    )
    return len(first) == len(second) and all(map(torch.equal, first, second))
