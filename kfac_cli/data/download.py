"""Downloading missing public files."""

import logging
import os
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from kfac_cli.errors import UserError

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10.0


def ensure_downloaded(folder: Path, names: Sequence[str], fetch: Callable[[Path], Path]) -> None:
    """Download those of the files `names` into `folder` that are missing.

    `fetch(scratch)` downloads into an empty folder and returns the subfolder with the files, of
    which the missing ones are then moved; no existing file is replaced. Raises UserError for a link
    to a file that does not exist, and without network or write permission.
    """
    for path in (folder / name for name in names):
        if path.is_symlink() and not path.exists():
            raise UserError(
                f"{path}: is a link to {os.readlink(path)}, which does not exist; delete the link "
                "to have the file downloaded, or put the file in that place"
            )
    missing = [name for name in names if not os.path.lexists(folder / name)]
    if not missing:
        return
    logger.info("downloading %s into %s", ", ".join(missing), folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix="download-", dir=folder) as scratch,
            _timeout(),
        ):
            source = fetch(Path(scratch))
            for name in missing:
                os.replace(source / name, folder / name)
    except (OSError, RuntimeError, HTTPException) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{folder / missing[0]}: no such file, and downloading it failed ({reason}); connect "
            f"to the network, copy {', '.join(missing)} into that folder, or set data_dir to a "
            "folder that has the data"
        ) from error


@contextmanager
def _timeout() -> Iterator[None]:
    """Set a timeout for servers, and ignore a loader's warnings about retries."""
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        socket.setdefaulttimeout(previous)
