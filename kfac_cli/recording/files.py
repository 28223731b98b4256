"""Files that are replaced whole or not at all."""

import os
from pathlib import Path


def replace_bytes(path: Path, contents: bytes) -> None:
    """Give a file new contents so that a crash leaves either the old ones or the new ones.

    Raises:
        OSError: the file cannot be written; the old contents are untouched.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def replace_text(path: Path, text: str) -> None:
    """Give a text file new contents (UTF-8) in the same way."""
    replace_bytes(path, text.encode())
