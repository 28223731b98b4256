"""parameters.pt: the best parameters of a run, the last ones, their average, and the network."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from kfac_cli.engine import Network, Parameters
from kfac_cli.engine.state_rules import (
    StateError,
    count,
    items,
    optional,
    record,
    refusal,
    tensor,
    word,
)
from kfac_cli.errors import UserError
from kfac_cli.files import replace_bytes

CHOICES = {"best": "best", "average": "average", "iterate": "parameters"}
"""The parameters that a run saves, and their keys in parameters.pt."""


def save_parameters(
    path: Path,
    network: Network,
    iteration: int,
    parameters: Mapping[str, Parameters],
    errors: Mapping[str, Mapping[str, Any]],
) -> None:
    """Save the parameters atomically; `torch.load(path, weights_only=True)` reads the file.

    `parameters` and `errors` have an entry for each of CHOICES. The file is a dict with
    `layer_sizes`, `activations`, `output`, `iteration`, `parameters` (the last iterate), `average`
    and `best`, these three as lists of W_i, (d_i, d_{i-1}+1), on the CPU, and `errors`. Tensors
    that occur twice take the space of one, so that `best` adds at most the size of θ.
    """
    contents = {
        "layer_sizes": list(network.layer_sizes),
        "activations": list(network.activations),
        "output": network.output,
        "iteration": iteration,
        **{key: [p.cpu() for p in parameters[choice]] for choice, key in CHOICES.items()},
        "errors": {choice: dict(errors[choice]) for choice in CHOICES},
    }
    buffer = io.BytesIO()  # torch.save raises another error on a full disk
    torch.save(contents, buffer)
    replace_bytes(path, buffer.getbuffer())


def read_parameters(path: str | Path, choice: str = "best") -> tuple[Network, Parameters]:
    """The network and the parameters in a parameters.pt, on the CPU.

    `choice`: `best` for the parameters with the lowest training error that the run measured, the
    error that it reports; `average` for the average of the iterates (section 13), `iterate` for the
    last of them. Raises ValueError for another choice, UserError if the file cannot be read, is not
    a parameters.pt or does not hold these parameters.
    """
    if choice not in CHOICES:
        raise ValueError(f"choice={choice!r}: must be one of {', '.join(CHOICES)}")
    contents = _load(path)
    try:
        network = Network(contents["layer_sizes"], contents["activations"], contents["output"])
        _check(contents, network)
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: is no usable parameters.pt: {reason}") from error
    parameters: Parameters = contents.get(CHOICES[choice], [])
    if not parameters:
        reason = "the run ended before its first iteration"
        if choice == "best":
            reason = (
                "the run measured no finite training error, or an earlier version of kfac-run "
                "wrote them; choose average or iterate"
            )
        raise UserError(f"{path}: holds no {choice} parameters: {reason}")
    return network, parameters


def _check(contents: dict[str, Any], network: Network) -> None:
    """Raise StateError for a value that no run saves, whichever parameters are asked for.

    Those of a run that diverged may have infinities and NaN. Earlier versions wrote no `best`.
    """
    kinds = torch.float32, torch.float64
    shapes = network.parameter_shapes
    matrices = items([tensor(shape, *kinds, nan=True) for shape in shapes], or_none=True)
    sets = {key: contents[key] for key in CHOICES.values() if key in contents}
    for key, value in sets.items():
        matrices(value, key)
    if len({w.dtype for value in sets.values() for w in value}) > 1:
        raise StateError(f"{', '.join(sets)}: must be of one dtype")
    record({"iteration": count()}, others=True)(contents, "")
    if "errors" in contents:
        measured = {"iteration": optional(count()), "train_error": _error, "test_error": _error}
        best = {**measured, "kind": optional(word("iterate", "average"))}
        errors = {choice: record(best if choice == "best" else measured) for choice in CHOICES}
        record(errors)(contents["errors"], "errors")


def _error(value: Any, name: str) -> None:
    """A number of any size, NaN included, or None."""
    if value is not None and not isinstance(value, float):
        raise refusal(name, value, "a number or null")


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
    needed = {"layer_sizes", "activations", "output", "parameters", "average"}
    if not isinstance(contents, dict) or not needed <= contents.keys():
        raise UserError(wrong)
    return contents
