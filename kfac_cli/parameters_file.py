"""parameters.pt: the final parameters of a run, their average, and the network."""

import io
from pathlib import Path
from typing import Any

import torch

from kfac_cli.engine import Network, Parameters
from kfac_cli.errors import UserError
from kfac_cli.files import replace_bytes

CHOICES = {"average": "average", "iterate": "parameters"}
"""The parameters that a run saves, and their keys in parameters.pt."""


def save_parameters(
    path: Path, network: Network, iteration: int, parameters: Parameters, average: Parameters
) -> None:
    """Save θ and its average atomically; `torch.load(path, weights_only=True)` reads the file.

    It is a dict with `layer_sizes`, `activations`, `output`, `iteration`, `parameters` and
    `average`, the last two as lists of W_i, (d_i, d_{i-1}+1), on the CPU.
    """
    contents = {
        "layer_sizes": list(network.layer_sizes),
        "activations": list(network.activations),
        "output": network.output,
        "iteration": iteration,
        "parameters": [p.cpu() for p in parameters],
        "average": [p.cpu() for p in average],
    }
    buffer = io.BytesIO()  # torch.save raises another error on a full disk
    torch.save(contents, buffer)
    replace_bytes(path, buffer.getbuffer())


def read_parameters(path: str | Path, choice: str = "average") -> tuple[Network, Parameters]:
    """The network and the parameters in a parameters.pt, on the CPU.

    `choice`: `average` for the average of the iterates, `iterate` for the last of them. Raises
    ValueError for another choice, UserError if the file cannot be read or is not a parameters.pt.
    """
    if choice not in CHOICES:
        raise ValueError(f"choice={choice!r}: must be one of {', '.join(CHOICES)}")
    contents = _load(path)
    network = Network(contents["layer_sizes"], contents["activations"], contents["output"])
    parameters: Parameters = contents[CHOICES[choice]]
    if not parameters:
        raise UserError(f"{path}: holds no {choice}: the run ended before its first iteration")
    return network, parameters


def _load(path: str | Path) -> dict[str, Any]:
    """What `save_parameters` wrote."""
    wrong = f"{path}: is not a parameters.pt that kfac-run wrote; give the path of one"
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); give the path of a parameters.pt"
        ) from error
    except Exception as error:  # damaged files make torch and pickle raise almost anything
        raise UserError(wrong) from error
    needed = {"layer_sizes", "activations", "output", *CHOICES.values()}
    if not isinstance(contents, dict) or not needed <= contents.keys():
        raise UserError(wrong)
    return contents
