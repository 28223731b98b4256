"""Pairs of original and reconstruction as pictures, with the same mapping of intensities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pictures = NDArray[Any]

PICTURE_FILE = "run.png"


@dataclass(frozen=True)
class Examples:
    """Examples to draw: `pairs` gives originals and reconstructions now, each (n, height * width).

    `image_shape` is (height, width) in pixels, None if cases are not images.
    """

    image_shape: tuple[int, int] | None
    pairs: Callable[[], tuple[Any, Any]]


def display_pairs(
    originals: Any, reconstructions: Any, image_shape: tuple[int, int]
) -> tuple[Pictures, Pictures]:
    """Map pairs of cases to grey levels in [0, 1].

    If all originals are in [0, 1] they are unchanged. Otherwise the range of each is stretched to
    [0, 1]. Its reconstruction goes through the same mapping, clipped, so that a difference in
    brightness stays visible; nan becomes black. Takes tensors or arrays (n, height * width) and
    returns float64 arrays (n, height, width); raises ValueError if the shapes do not match.
    """
    import numpy as np

    first, second = _as_array(originals), _as_array(reconstructions)
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(
            f"originals {first.shape} and reconstructions {second.shape} must be two matrices"
            " of the same shape"
        )
    if first.shape[1] != image_shape[0] * image_shape[1]:
        raise ValueError(f"image_shape {image_shape} does not hold {first.shape[1]} pixels")
    if first.size and first.min() >= 0 and first.max() <= 1:
        low, span = np.zeros((len(first), 1)), np.ones((len(first), 1))
    else:
        low = first.min(axis=1, keepdims=True)
        span = first.max(axis=1, keepdims=True) - low
        span[span == 0] = 1
    both = []
    for values in (first, second):
        finite = np.nan_to_num(values, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        both.append(np.clip((finite - low) / span, 0, 1).reshape(-1, *image_shape))
    return both[0], both[1]


def pair_picture(
    originals: Any,
    reconstructions: Any,
    image_shape: tuple[int, int],
    columns: int = 5,
    gap: int = 1,
    background: float = 1.0,
) -> Pictures:
    """Compose pairs into one picture: bands of originals above their reconstructions.

    Takes tensors or arrays (n, height * width). A band has `columns` pairs; neighbours are `gap`
    pixels of grey level `background` apart, bands three times as far. Returns an array of grey
    levels in [0, 1]; raises ValueError if there is no pair or the shapes do not match.
    """
    import numpy as np

    above, below = display_pairs(originals, reconstructions, image_shape)
    if not len(above):
        raise ValueError("originals is empty")
    height, width = image_shape
    columns = min(columns, len(above))
    bands = -(-len(above) // columns)
    band_height = 2 * height + gap
    picture = np.full(
        (bands * (band_height + 3 * gap) - 3 * gap, columns * (width + gap) - gap), background
    )
    for index, (original, reconstruction) in enumerate(zip(above, below, strict=True)):
        band, column = divmod(index, columns)
        top, left = band * (band_height + 3 * gap), column * (width + gap)
        picture[top : top + height, left : left + width] = original
        top += height + gap
        picture[top : top + height, left : left + width] = reconstruction
    return picture


def _as_array(values: Any) -> Pictures:
    import numpy as np

    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values, dtype=np.float64)
