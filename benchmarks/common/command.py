"""Calling kfac-run in a process of its own."""

import subprocess
import sys
from collections.abc import Sequence

from kfac_cli.errors import UserError


def kfac_run(words: Sequence[str]) -> None:
    """Run the command, its progress on standard error; raises UserError if it fails."""
    call = [sys.executable, "-m", "kfac_cli", *words]
    done = subprocess.run(call, stdout=subprocess.DEVNULL)
    if done.returncode != 0:
        raise UserError(f"kfac-run {' '.join(words)}: ended with exit code {done.returncode}")
