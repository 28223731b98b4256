"""The shared K-FAC engine: tensors in, tensors out."""

from kfac_cli.engine.averaging import PolyakAverage
from kfac_cli.engine.block_diagonal import BlockDiagonalInverse
from kfac_cli.engine.block_tridiagonal import BlockTridiagonalInverse
from kfac_cli.engine.factors import KroneckerFactors
from kfac_cli.engine.initialization import sparse_initialization
from kfac_cli.engine.kfac import KFAC
from kfac_cli.engine.minibatch import Evaluation, evaluate
from kfac_cli.engine.nesterov import NesterovSGD
from kfac_cli.engine.network import Network, Parameters
from kfac_cli.engine.options import KFACOptions, NesterovOptions
from kfac_cli.engine.record import StepRecord

__all__ = [
    "KFAC",
    "BlockDiagonalInverse",
    "BlockTridiagonalInverse",
    "Evaluation",
    "KFACOptions",
    "KroneckerFactors",
    "NesterovOptions",
    "NesterovSGD",
    "Network",
    "Parameters",
    "PolyakAverage",
    "StepRecord",
    "evaluate",
    "sparse_initialization",
]
