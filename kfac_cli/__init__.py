"""kfac-run: Martens and Grosse's K-FAC (2015), as a command and as an optimizer of torch.

`KFACOptimizer` loads on first use (PEP 562), so that the command's help imports no torch.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kfac_cli.own_network.optimizer import KFACOptimizer as KFACOptimizer

__all__ = ["KFACOptimizer"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import kfac_cli.own_network.optimizer as optimizer

    return optimizer.KFACOptimizer


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
