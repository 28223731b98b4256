"""Imported by Python at the start of each process of a test: its runs write an empty run.png.

Drawing it takes longer than a small run does, and importing Matplotlib as long again.
"""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

NAME = "kfac_cli.recording.picture_sink"


def draw_run(path, *_):
    """Replace the file, as drawing does: tests of kills and full disks count such operations."""
    from kfac_cli.files import replace_bytes

    replace_bytes(Path(path), b"")


class Undrawn(ModuleType):
    """The module when something is imported from it, but for draw_run."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(NAME) is self:
            del sys.modules[NAME]
        module = import_module(NAME)
        module.draw_run = draw_run
        return getattr(module, name)


sys.modules[NAME] = Undrawn(NAME)
