"""Originals above reconstructions, cut out of the picture that each run left."""

import base64
import io
import warnings
from dataclasses import dataclass

from kfac_cli.files import open_file
from kfac_cli.recording.figure import PAIRS_PLACE, PAIRS_WIDTH, RUN_HEIGHT
from kfac_cli.recording.pictures import PICTURE_FILE
from kfac_cli.report.runs import Run

MAX_PIXELS = 20_000_000

WIDTH = 320


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI, with its size in pixels."""

    uri: str
    width: int
    height: int


def pairs_of(run: Run) -> Picture | None:
    """The pairs in the picture of a run; None if it has none.

    It is read and written anew, so that only pixels pass. A picture that cannot be read is none.
    """
    from PIL import Image

    try:
        with open_file(run.folder / PICTURE_FILE) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=["PNG"]) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    return None
                picture = opened.convert("L")
    except (OSError, ValueError, SyntaxError):
        return None
    if not _has_pairs(picture.width, picture.height):
        return None
    left, bottom, width, height = PAIRS_PLACE
    top = 1 - bottom - height
    picture = picture.crop(
        (
            round(left * picture.width),
            round(top * picture.height),
            round((left + width) * picture.width),
            round((top + height) * picture.height),
        )
    )
    scale = WIDTH / picture.width
    size = WIDTH, max(1, round(scale * picture.height))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Picture(uri, *size)


def _has_pairs(width: int, height: int) -> bool:
    """Whether a run's picture has the width that it has with pairs."""
    return abs(width / height - PAIRS_WIDTH / RUN_HEIGHT) < 0.01
