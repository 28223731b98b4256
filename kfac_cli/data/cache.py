"""An on-disk cache of generated arrays: verified, replaced atomically, rebuilt if damaged."""

import logging
import math
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kfac_cli.files import open_file

logger = logging.getLogger(__name__)

MAX_HEADER_SIZE = 1000  # bytes before the numbers; numpy writes 128

Arrays = dict[str, NDArray[np.float32]]


def load_or_build(
    path: Path, key: str, shapes: Mapping[str, tuple[int, ...]], build: Callable[[], Arrays]
) -> Arrays:
    """The float32 arrays named in `shapes`, read from `path` if it holds them, otherwise built.

    `key` identifies everything that the arrays depend on, including the version of the code; a file
    with another key is not used. A damaged file is replaced, and an unwritable one is not written,
    both with a logged warning. Several processes may do this concurrently.
    """
    try:
        return _read(path, key, shapes)
    except FileNotFoundError:
        logger.info("generating %s", path)
    # A damaged archive can make zipfile and numpy raise almost anything, down to MemoryError.
    except Exception as error:
        logger.warning("%s: not usable (%s); generating it again", path, error)
    arrays = build()
    try:
        _write(path, key, arrays)
    except OSError as error:
        logger.warning("%s: could not be written (%s); continuing without it", path, error)
    return arrays


def _read(path: Path, key: str, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """Read and check a file; zipfile verifies the CRC-32 of each array."""
    # numpy leaves a damaged file open that it opened itself
    with open_file(path) as stream, np.load(stream, allow_pickle=False) as archive:
        largest = {"key": 4 * len(key)} | {name: 4 * math.prod(shapes[name]) for name in shapes}
        for name, size in largest.items():  # before an oversized array fills the memory
            if archive.zip.getinfo(f"{name}.npy").file_size > size + MAX_HEADER_SIZE:
                raise ValueError(f"{name} is larger than it can be")
        found = str(archive["key"])
        if found != key:
            raise ValueError(f"made as '{found}', expected '{key}'")
        arrays = {name: archive[name] for name in shapes}
    for name, shape in shapes.items():
        if arrays[name].dtype != np.float32 or arrays[name].shape != shape:
            actual = f"{arrays[name].dtype} {arrays[name].shape}"
            raise ValueError(f"{name} is {actual}, expected float32 {shape}")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} has values that are not finite")
    return arrays


def _write(path: Path, key: str, arrays: Arrays) -> None:
    """Write to a unique temporary name, then rename it, so that `path` is never incomplete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    contents: dict[str, Any] = {"key": np.array(key), **arrays}
    try:
        with temporary.open("xb") as stream:
            np.savez(stream, **contents)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
