"""The network for IDX files where none is given: its widths come from the files' headers."""

import math
from collections.abc import Mapping
from typing import Any

from kfac_cli.data.base_options import WIDEST
from kfac_cli.errors import UserError
from kfac_cli.files import typed_path

CODER = (1000, 500, 250, 30, 250, 500, 1000)  # as the paper has for MNIST
CLASSIFIER = (400, 200)

DERIVED = ("layer_sizes", "activations", "output")


def completed(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `dataset=idx`, those in DERIVED that are null read from the files.

    Nothing is read if all are given. Raises UserError for a file that cannot be read.
    """
    options = dict(given)
    images, labels = options.get("images"), options.get("labels")
    missing = [name for name in DERIVED if options.get(name) is None]
    if missing and isinstance(images, str) and isinstance(labels, str | None):
        for name in missing:
            options[name] = _derived(name, options, images, labels)
    elif missing:  # the images are to be named first
        options |= {"layer_sizes": (1, 1), "activations": (), "output": "bernoulli"}
    return options


def _derived(name: str, options: Mapping[str, Any], images: str, labels: str | None) -> Any:
    if name == "layer_sizes":
        return _layer_sizes(images, labels)
    if name == "activations":
        return _activations(options["layer_sizes"], labels is not None)
    if labels is not None:
        return "categorical"
    from kfac_cli.data.idx_file import read_header

    header = read_header(typed_path(images), "dataset.images")
    return "bernoulli" if header.dtype == "u1" else "gaussian"


def _layer_sizes(images: str, labels: str | None) -> tuple[int, ...]:
    from kfac_cli.data.idx_file import read_header, read_idx

    pixels = math.prod(read_header(typed_path(images), "dataset.images").shape[1:])
    if labels is None:
        return (pixels, *CODER, pixels)
    largest = float(read_idx(typed_path(labels), "dataset.labels").max(initial=0))
    if not 0 <= largest < WIDEST:  # nan too
        raise UserError(
            f"{labels}: has a label {largest:g}; those of dataset.labels must be whole numbers "
            f"from 0 to {WIDEST - 1}"
        )
    return (pixels, *CLASSIFIER, max(2, int(largest) + 1))


def _activations(layer_sizes: Any, classifies: bool) -> Any:
    """Rectified units for classes; otherwise logistic ones, linear in the narrowest layer."""
    hidden = list(layer_sizes)[1:-1] if isinstance(layer_sizes, list | tuple) else []
    if classifies:
        return ["relu"] * len(hidden)
    code = hidden.index(min(hidden)) if len(hidden) > 1 else None
    return ["linear" if place == code else "logistic" for place in range(len(hidden))]
