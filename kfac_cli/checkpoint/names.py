"""What checkpoints are called. Nothing here needs torch."""

import re
from pathlib import Path

PREFIX = "checkpoint-"
SUFFIX = ".safetensors"


def checkpoint_iterations(folder: Path) -> list[int]:
    """The iterations of which a folder has checkpoints, the latest first; they may be damaged."""
    pattern = re.compile(re.escape(PREFIX) + r"(\d{1,18})" + re.escape(SUFFIX))
    matches = (pattern.fullmatch(path.name) for path in folder.iterdir())
    return sorted((int(match[1]) for match in matches if match), reverse=True)
