"""The public names of `kfac_cli.engine` that need torch."""

from kfac_cli.engine.averaging import PolyakAverage
from kfac_cli.engine.curvature.block_diagonal import BlockDiagonalInverse
from kfac_cli.engine.curvature.block_tridiagonal import BlockTridiagonalInverse
from kfac_cli.engine.curvature.factors import KroneckerFactors
from kfac_cli.engine.kfac import KFAC
from kfac_cli.engine.matmul import choose_products
from kfac_cli.engine.model.initialization import (
    glorot_initialization,
    he_initialization,
    initial_parameters,
    sparse_initialization,
)
from kfac_cli.engine.model.minibatch import Evaluation, evaluate
from kfac_cli.engine.model.network import Network
from kfac_cli.engine.nesterov import NesterovSGD
from kfac_cli.engine.optimizer import Optimizer
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.record import StepRecord
from kfac_cli.engine.torch_optimizer import TorchOptimizer

__all__ = [
    "KFAC",
    "BlockDiagonalInverse",
    "BlockTridiagonalInverse",
    "Evaluation",
    "KroneckerFactors",
    "NesterovSGD",
    "Network",
    "Optimizer",
    "Parameters",
    "PolyakAverage",
    "StepRecord",
    "TorchOptimizer",
    "choose_products",
    "evaluate",
    "glorot_initialization",
    "he_initialization",
    "initial_parameters",
    "sparse_initialization",
]
