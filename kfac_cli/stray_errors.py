"""Errors that libraries would print by themselves, as tracebacks between the lines of a run."""

import contextlib
import logging
import threading
from collections.abc import Iterator

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def stray_errors_caught() -> Iterator[None]:
    """Log what helper threads die of, and let a log that cannot be written be.

    TensorBoard's writer hands its error to the main thread too, which deals with it.
    """
    before = logging.raiseExceptions, threading.excepthook
    logging.raiseExceptions, threading.excepthook = False, _log
    try:
        yield
    finally:
        logging.raiseExceptions, threading.excepthook = before


def _log(failure: threading.ExceptHookArgs) -> None:
    name = "a thread" if failure.thread is None else failure.thread.name
    logger.info("%s ended: %r", name, failure.exc_value)
