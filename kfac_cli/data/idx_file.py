"""IDX files, the format of MNIST, Fashion-MNIST and EMNIST; compressed with gzip or not.

Two zero bytes, the type of the values, the number of dimensions, the length of each as four bytes,
then the values; all numbers are big-endian.
"""

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kfac_cli.data.file_format import GZIP, format_of
from kfac_cli.errors import UserError
from kfac_cli.files import open_file

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_DIMENSIONS = 8

Readable = gzip.GzipFile | BinaryIO


@dataclass(frozen=True)
class Header:
    """The type and the shape of the values in an IDX file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of bytes of the values."""
        return self.dtype.itemsize * math.prod(self.shape)


def read_header(path: Path, setting: str) -> Header:
    """The header of an IDX file.

    Raises UserError, naming the file and the setting, for a file that is none or cannot be read.
    """
    with _explained(path, setting), open_file(path) as stream:
        return _header(unpacked(stream), stream)


def read_idx(path: Path, setting: str) -> NDArray[Any]:
    """The values of an IDX file, in the machine's byte order.

    Raises UserError as `read_header` does, and for more or fewer values than the header says.
    """
    with _explained(path, setting), open_file(path) as stream:
        content = unpacked(stream)
        header = _header(content, stream)
        values = content.read(header.size + 1)
    if len(values) != header.size:
        found = f"{len(values)} bytes" if len(values) < header.size else "more"
        raise UserError(
            f"{path}: holds {found} after its header; expected {header.size}, for the shape "
            f"{header.shape}: the file is cut short or damaged"
        )
    array = np.frombuffer(values, dtype=header.dtype).reshape(header.shape)
    return array.astype(header.dtype.newbyteorder("="), copy=False)


def parse_idx(content: bytes) -> NDArray[np.uint8]:
    """The bytes in the contents of an IDX file that is known to be whole and to hold bytes."""
    dimensions = content[3]
    shape = np.frombuffer(content, dtype=">i4", count=dimensions, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def unpacked(stream: BinaryIO) -> Readable:
    """The contents of a file at its beginning, decompressed if it is compressed with gzip."""
    packed = stream.read(len(GZIP)) == GZIP
    stream.seek(0)
    return gzip.GzipFile(fileobj=stream) if packed else stream


def _header(content: Readable, file: BinaryIO) -> Header:
    start = content.read(4)
    dtype = TYPES.get(start[2]) if len(start) == 4 and start[:2] == b"\0\0" else None
    if dtype is None or not 1 <= start[3] <= MAX_DIMENSIONS:
        if content is file:
            raise ValueError(f"it is {format_of(file) or 'of an unknown format'}")
        raise ValueError("it is compressed with gzip, but holds no IDX file")
    lengths = content.read(4 * start[3])
    if len(lengths) < 4 * start[3]:
        raise ValueError("its header is cut short")
    shape = tuple(int(length) for length in np.frombuffer(lengths, dtype=">u4"))
    if 0 in shape:
        raise ValueError(f"its shape is {shape}, without any values")
    return Header(np.dtype(dtype), shape)


@contextmanager
def _explained(path: Path, setting: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; give the path of one as {setting}") from error
    except (OSError, EOFError, ValueError, zlib.error, MemoryError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(
            f"{path}: cannot be read ({reason}); expected an IDX file for {setting}, compressed "
            "with gzip or not"
        ) from error
