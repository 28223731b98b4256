"""The checkpoints in a run's folder: the newest.

Importing this needs no torch.
"""

from __future__ import annotations

import contextlib
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from kfac_cli.errors import UserError
from kfac_cli.files import TEMPORARY, replacing, shown_folder

if TYPE_CHECKING:
    from kfac_cli.checkpoint.tree import Tree

logger = logging.getLogger(__name__)

PREFIX = "checkpoint-"
SUFFIX = ".safetensors"


NAME = re.compile(re.escape(PREFIX) + r"(0|[1-9][0-9]{0,17})" + re.escape(SUFFIX))
"""The names of checkpoints. Files with any other name belong to the user."""


def checkpoint_iterations(folder: Path) -> list[int]:
    """The iterations with a checkpoint in a folder, the latest first; some may be damaged."""
    matches = (NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted((int(match[1]) for match in matches if match), reverse=True)


class CheckpointFolder:
    """Writes and reads the checkpoints of one run, and keeps the `keep` newest; two for 0.

    An old one is deleted after the new one is complete on the disk. `latest` is the iteration of
    the one last written or read; None before any.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self._folder = folder
        self._keep = keep or 2
        self._kept: list[Path] = []
        self.latest: int | None = None

    def write(self, iteration: int, contents: Tree) -> None:
        """Write the checkpoint of an iteration.

        Raises OSError, naming the file, if it cannot be written; older ones are then unchanged.
        """
        from kfac_cli.checkpoint.tree import write_tree

        path = self._path(iteration)
        with replacing(path) as file:
            write_tree(file, contents)
        self.latest = iteration
        self._kept = [path, *(kept for kept in self._kept if kept != path)]
        self._kept = self._kept[: self._keep]
        for other in self._folder.iterdir():
            # A killed process may have left a temporary file.
            if NAME.fullmatch(other.name.removesuffix(TEMPORARY)) and other not in self._kept:
                with contextlib.suppress(OSError):
                    other.unlink()

    def clear(self) -> None:
        """Remove every checkpoint, where that is possible."""
        for iteration in checkpoint_iterations(self._folder):
            with contextlib.suppress(OSError):
                self._path(iteration).unlink()
        self.latest, self._kept = None, []

    def read(self) -> Tree | None:
        """The newest undamaged checkpoint; None if there are no checkpoints.

        Damaged ones are skipped with a logged warning. Raises UserError if all are damaged.
        """
        from kfac_cli.checkpoint.tree import DamagedFileError, read_tree

        damaged = []
        iterations = checkpoint_iterations(self._folder)
        paths = [self._path(iteration) for iteration in iterations]
        for index, path in enumerate(paths):
            try:
                contents = read_tree(path)
            except DamagedFileError as error:
                damaged.append(f"{path.name} is damaged ({error})")
                continue
            except OSError as error:
                damaged.append(f"{path.name} cannot be read ({error.strerror})")
                continue
            self.latest, self._kept = iterations[index], paths[index:][: self._keep]
            for line in damaged:
                logger.warning("%s; using %s instead", line, path.name)
            return contents
        if damaged:
            raise UserError(
                f"{shown_folder(self._folder)}: no checkpoint can be used: {', '.join(damaged)}"
            )
        return None

    @property
    def latest_path(self) -> Path:
        """The checkpoint last written or read; the folder before any."""
        return self._folder if self.latest is None else self._path(self.latest)

    def _path(self, iteration: int) -> Path:
        return self._folder / f"{PREFIX}{iteration}{SUFFIX}"
