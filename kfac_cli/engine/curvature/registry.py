"""The curvatures: the name of each in the option `inverse`, and its class.

To add one, add its class, a line here, and its name to `KFACOptions.inverse`.
"""

from collections.abc import Callable

from kfac_cli.engine.curvature.block_diagonal_curvature import BlockDiagonal
from kfac_cli.engine.curvature.block_tridiagonal import BlockTridiagonal
from kfac_cli.engine.curvature.ekfac import EKFAC
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.identity import Identity
from kfac_cli.engine.curvature.protocol import Curvature
from kfac_cli.engine.options.kfac import KFACOptions

CURVATURES: dict[str, Callable[[KFACOptions, Fallbacks | None], Curvature]] = {
    "block_tridiagonal": BlockTridiagonal,
    "block_diagonal": BlockDiagonal,
    "ekfac": EKFAC,
    "identity": Identity,
}


def make_curvature(options: KFACOptions, fallbacks: Fallbacks | None = None) -> Curvature:
    """The curvature that the options name, counting its fallbacks in `fallbacks` if given."""
    return CURVATURES[options.inverse](options, fallbacks)
