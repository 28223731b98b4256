"""The shared K-FAC engine: tensors in, tensors out."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kfac_cli.engine.averaging import PolyakAverage as PolyakAverage
    from kfac_cli.engine.curvature.block_diagonal import (
        BlockDiagonalInverse as BlockDiagonalInverse,
    )
    from kfac_cli.engine.curvature.block_tridiagonal import (
        BlockTridiagonalInverse as BlockTridiagonalInverse,
    )
    from kfac_cli.engine.curvature.factors import KroneckerFactors as KroneckerFactors
    from kfac_cli.engine.kfac import KFAC as KFAC
    from kfac_cli.engine.model.initialization import sparse_initialization as sparse_initialization
    from kfac_cli.engine.model.minibatch import Evaluation as Evaluation
    from kfac_cli.engine.model.minibatch import evaluate as evaluate
    from kfac_cli.engine.model.network import Network as Network
    from kfac_cli.engine.nesterov import NesterovSGD as NesterovSGD
    from kfac_cli.engine.options import KFACOptions as KFACOptions
    from kfac_cli.engine.options import NesterovOptions as NesterovOptions
    from kfac_cli.engine.parameters import Parameters as Parameters
    from kfac_cli.engine.record import StepRecord as StepRecord

HOMES = {
    "BlockDiagonalInverse": "curvature.block_diagonal",
    "BlockTridiagonalInverse": "curvature.block_tridiagonal",
    "Evaluation": "model.minibatch",
    "KFAC": "kfac",
    "KFACOptions": "options",
    "KroneckerFactors": "curvature.factors",
    "NesterovOptions": "options",
    "NesterovSGD": "nesterov",
    "Network": "model.network",
    "Parameters": "parameters",
    "PolyakAverage": "averaging",
    "StepRecord": "record",
    "evaluate": "model.minibatch",
    "sparse_initialization": "model.initialization",
}
"""Public name to the module that defines it, which is imported when the name is first used."""

__all__ = list(HOMES)


def __getattr__(name: str) -> object:
    """Load a public name (PEP 562), so that the options can be read without torch."""
    from importlib import import_module

    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES})
