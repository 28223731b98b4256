"""The optimizers: the name of each kind, its options, and the class that they describe.

To add one, add its options and its class, and a line here. Importing this needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kfac_cli.engine.baseline_options import NesterovOptions, TorchOptions
from kfac_cli.engine.options import KFACOptions, OptimizerOptions

if TYPE_CHECKING:
    import torch

    from kfac_cli.engine.model.network import Network
    from kfac_cli.engine.optimizer import Optimizer
    from kfac_cli.engine.parameters import Parameters

OPTIMIZERS: dict[str, type[OptimizerOptions]] = {
    "kfac": KFACOptions,
    "nesterov": NesterovOptions,
    "torch": TorchOptions,
}
"""The options of each kind of optimizer."""


def check_options(options: OptimizerOptions) -> None:
    """Raise OptionError for what only torch can refuse, before anything large is loaded."""
    if isinstance(options, TorchOptions):
        from kfac_cli.engine.torch_optimizer import check

        check(options)


def make_optimizer(
    network: Network,
    parameters: Parameters,
    options: OptimizerOptions,
    generator: torch.Generator,
    planned: int | None = None,
) -> Optimizer:
    """The optimizer that the options describe, for so many `planned` updates.

    Raises OptionError for what only torch can refuse.
    """
    from kfac_cli.engine.kfac import KFAC
    from kfac_cli.engine.nesterov import NesterovSGD
    from kfac_cli.engine.torch_optimizer import TorchOptimizer

    match options:
        case KFACOptions():
            return KFAC(network, parameters, options, generator)
        case NesterovOptions():
            return NesterovSGD(network, parameters, options, planned=planned)
        case TorchOptions():
            return TorchOptimizer(network, parameters, options, planned=planned)
    raise TypeError(f"no optimizer is registered for {type(options).__name__}")
