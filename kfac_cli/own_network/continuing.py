"""The state and the options of a KFACOptimizer: its one param group, and the engine made again."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kfac_cli.engine import KFAC, KFACOptions, Network, Parameters
from kfac_cli.errors import shown

STATE = "kfac"
"""Where an optimizer's `state_dict` has that of the engine's K-FAC, in `state`."""

NETWORK = "network"
"""Where it has what K-FAC has learnt about: the output and the activation functions."""

BEGINNINGS = "lambda_initial", "gamma_initial"
"""Options that only the first step uses."""

RATES = "lr", "initial_lr", "swa_lr"
"""What torch's schedulers call a learning rate, those that they write first included."""

TORCHS = ("params", "param_names")
"""What is in a param group besides the options."""


class _Group(dict[str, Any]):
    """A param group without learning rate, which says so when a scheduler reads or sets it."""

    def __missing__(self, name: str) -> Any:
        refuse_rate(name)
        raise KeyError(name)

    def __setitem__(self, name: str, value: Any) -> None:
        refuse_rate(name)
        super().__setitem__(name, value)


def refuse_rate(name: str) -> None:
    """Raise ValueError for the names that torch and its schedulers have for a learning rate."""
    if name in RATES:
        raise ValueError(
            f"{name}: K-FAC computes its step size, so that there is none to set or for a "
            "scheduler to change; a fixed one: rescaling=False, momentum=False, learning_rate=…"
        )


def option_group(group: Mapping[str, Any]) -> dict[str, Any]:
    """The param group as K-FAC has it."""
    return _Group(group)


def options_of(group: Mapping[str, Any]) -> KFACOptions:
    """The options in a param group; raises ValueError for one that does not exist or fit."""
    return KFACOptions(**{name: group[name] for name in group if name not in TORCHS})


def with_options(kfac: KFAC, options: KFACOptions) -> KFAC:
    """The same K-FAC with options that may have changed since its last step.

    Raises ValueError for a change, after the first step, of one on which the shape of its state
    depends, or that only the first step uses.
    """
    if options == kfac.options:
        return kfac
    if kfac.iteration == 0:
        return KFAC(kfac.network, kfac.parameters, options, kfac.generator)
    learnt = "and what K-FAC has learnt does not fit another"
    reasons = dict.fromkeys(KFACOptions.STRUCTURE, learnt)
    reasons |= dict.fromkeys(BEGINNINGS, "from which K-FAC has begun")
    for name, reason in reasons.items():
        if (value := getattr(options, name)) != (earlier := getattr(kfac.options, name)):
            raise ValueError(
                f"{name}={shown(value)}: was {shown(earlier)}, {reason}; make a new optimizer"
            )
    changed = KFAC(kfac.network, kfac.parameters, options, kfac.generator)
    changed.load_state_dict(kfac.state_dict())
    return changed


def saved_state(kfac: KFAC) -> dict[str, Any]:
    """What `resumed` continues from."""
    return {STATE: kfac.state_dict(), NETWORK: _functions(kfac.network)}


def resumed(
    network: Network, parameters: Parameters, options: KFACOptions, saved: Mapping[Any, Any]
) -> KFAC:
    """A K-FAC for `parameters` that continues from a saved state, moved to their device.

    Raises ValueError, naming the value, for a state that such a K-FAC cannot have.
    """
    if (state := saved.get(STATE)) is None:
        raise ValueError("state: has nothing of K-FAC's; load what KFACOptimizer.state_dict gave")
    functions = _functions(network)
    if (earlier := saved.get(NETWORK, functions)) != functions:
        raise ValueError(f"state: is that of a network with {earlier}, not {functions}")
    kfac = KFAC(network, parameters, options, torch.Generator())
    moved = _moved(state, parameters[0].device)
    kfac.state_rules()(moved, STATE)
    kfac.load_state_dict(moved)
    return kfac


def _functions(network: Network) -> str:
    return ", ".join([*network.activations, network.output])


def _moved(tree: Any, device: torch.device) -> Any:
    """The tree with its tensors on `device`, but for the bytes of a generator's state."""
    if isinstance(tree, Tensor):
        return tree.to("cpu" if tree.dtype == torch.uint8 else device)
    if isinstance(tree, Mapping):
        return {name: _moved(value, device) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_moved(value, device) for value in tree]
    return tree
