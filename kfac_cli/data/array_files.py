"""Reading .npy and .npz files of the user, which may be anything else."""

import textwrap
import zipfile
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from kfac_cli.data.file_format import NPY, ZIP, format_of
from kfac_cli.errors import UserError, shown
from kfac_cli.files import open_file, typed_path


def read_array_file(
    path: str, setting: str, wanted: Collection[str]
) -> NDArray[Any] | dict[str, NDArray[Any] | None]:
    """The array in a .npy file, or what an .npz file holds.

    Of an archive, the arrays named in `wanted` are read; the value of another name is None. Raises
    UserError, naming the file, what it is and the setting, if it cannot be read; pickled objects
    are never loaded.
    """
    try:
        # numpy leaves a damaged file open that it opened itself
        with open_file(typed_path(path)) as stream:
            start = stream.read(len(NPY))
            stream.seek(0)
            if not start.startswith((NPY, ZIP)):
                raise ValueError(f"it is {format_of(stream) or 'of an unknown format'}")
            loaded = np.load(stream, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            if not any(name.endswith(".npy") for name in loaded.zip.namelist()):
                raise ValueError(f"it is {format_of(stream)}")
            return {name: _array(loaded, name) if name in wanted else None for name in loaded}
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; give the path of one as {setting}") from error
    # A damaged file can make zipfile and numpy raise almost anything, down to MemoryError.
    except Exception as error:
        raise UserError(
            f"{path}: cannot be read ({_reason(error)}); expected a whole file for {setting}, "
            "written by numpy.save or numpy.savez without pickled objects"
        ) from error


def _array(archive: NpzFile, name: str) -> NDArray[Any]:
    """An array of an archive; raises ValueError for a member that is none."""
    value = archive[name]
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{shown(name)} in it is no array")
    return value


def _reason(error: Exception) -> str:
    text = str(error)
    if isinstance(error, zipfile.BadZipFile):
        return "it is a damaged zip archive"
    if "max_header_size" in text:
        return "its header is too long"
    if "allow_pickle" in text:  # numpy advises to load them, which executes code
        return "it holds Python objects instead of numbers"
    return textwrap.shorten(text, 200, placeholder=" ...") or type(error).__name__
