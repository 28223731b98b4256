"""The shared K-FAC engine: tensors in, tensors out.

Importing its options does not import torch; the other public names load on first use (PEP 562).
"""

from typing import TYPE_CHECKING

from kfac_cli.engine.options.baselines import NesterovOptions as NesterovOptions
from kfac_cli.engine.options.baselines import TorchOptions as TorchOptions
from kfac_cli.engine.options.kfac import KFACOptions as KFACOptions

if TYPE_CHECKING:
    from kfac_cli.engine.public import *  # noqa: F403


OPTIONS = ["KFACOptions", "NesterovOptions", "TorchOptions"]


def __getattr__(name: str) -> object:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(name)
    import kfac_cli.engine.public as public  # `from` would call this function

    if name == "__all__":
        return [*OPTIONS, *public.__all__]
    if name not in public.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(public, name)


def __dir__() -> list[str]:
    import kfac_cli.engine.public as public

    return sorted({*globals(), *public.__all__})
