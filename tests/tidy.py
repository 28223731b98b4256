"""Restoring global state after a call of kfac-run in the same process."""

import contextlib
import logging
from collections.abc import Iterator

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig


@contextlib.contextmanager
def tidied() -> Iterator[None]:
    """Remove the log handlers and the settings of Hydra that a call adds."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    disabled = {name for name, log in logging.root.manager.loggerDict.items() if _is_off(log)}
    try:
        yield
    finally:
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers, root.level = handlers, level
        for name, log in logging.root.manager.loggerDict.items():
            if name not in disabled and _is_off(log):
                log.disabled = False
        HydraConfig.instance().cfg = None
        GlobalHydra.instance().clear()


def _is_off(log: object) -> bool:
    return isinstance(log, logging.Logger) and log.disabled
