"""Opening data files, which may come from anywhere."""

import errno
from pathlib import Path
from typing import BinaryIO


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading.

    Raises OSError for one that cannot be read and for what is no file: a pipe under a file's name
    would keep its reader waiting for ever.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return path.open("rb")
