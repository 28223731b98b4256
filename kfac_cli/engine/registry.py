"""The optimizers: the name of each kind, its options, and how it is made.

To add one, write its options and its class, a function that makes it, and a line in OPTIMIZERS.
Importing this needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from kfac_cli.engine.options.baselines import NesterovOptions, TorchOptions
from kfac_cli.engine.options.common import OptimizerOptions
from kfac_cli.engine.options.kfac import KFACOptions

if TYPE_CHECKING:
    import torch

    from kfac_cli.engine.model.network import Network
    from kfac_cli.engine.optimizer import Optimizer
    from kfac_cli.engine.parameters import Parameters


class Setup(NamedTuple):
    """What an optimizer is made from; `planned` is the number of updates, None for no end."""

    network: Network
    parameters: Parameters
    options: Any
    generator: torch.Generator
    planned: int | None


class Kind(NamedTuple):
    """A kind of optimizer; `check` raises OptionError for what only torch can refuse."""

    options: type[OptimizerOptions]
    make: Callable[[Setup], Optimizer]
    check: Callable[[Any], None] = lambda options: None


def _kfac(setup: Setup) -> Optimizer:
    from kfac_cli.engine.kfac import KFAC

    return KFAC(setup.network, setup.parameters, setup.options, setup.generator)


def _nesterov(setup: Setup) -> Optimizer:
    from kfac_cli.engine.nesterov import NesterovSGD

    return NesterovSGD(*setup)


def _torch(setup: Setup) -> Optimizer:
    from kfac_cli.engine.torch_optimizer import TorchOptimizer

    return TorchOptimizer(*setup)


def _check_torch(options: TorchOptions) -> None:
    from kfac_cli.engine.torch_optimizer import check

    check(options)


OPTIMIZERS = {
    "kfac": Kind(KFACOptions, _kfac),
    "nesterov": Kind(NesterovOptions, _nesterov),
    "torch": Kind(TorchOptions, _torch, _check_torch),
}


def check_options(options: OptimizerOptions) -> None:
    """Raise OptionError for what only torch can refuse, before anything large is loaded."""
    _kind(options).check(options)


def make_optimizer(
    network: Network,
    parameters: Parameters,
    options: OptimizerOptions,
    generator: torch.Generator,
    planned: int | None = None,
) -> Optimizer:
    """The optimizer that the options describe, for so many `planned` updates, None for no end."""
    return _kind(options).make(Setup(network, parameters, options, generator, planned))


def _kind(options: OptimizerOptions) -> Kind:
    kinds = {kind.options: kind for kind in OPTIMIZERS.values()}
    return next(kinds[declared] for declared in type(options).__mro__ if declared in kinds)
