"""Any optimizer of torch.optim, on the engine's gradient of the same mini-batches."""

import inspect
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kfac_cli.engine.chunks import chunk_size_for
from kfac_cli.engine.declaration import OptionError
from kfac_cli.engine.emulated import without_emulated_bfloat16
from kfac_cli.engine.linearization import Linearization
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.engine.model.network import Network
from kfac_cli.engine.options.baselines import TorchOptions
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.record import StepRecord
from kfac_cli.engine.state_rules import (
    Rule,
    Rules,
    count,
    entries,
    items,
    like,
    record,
    tensor,
    up_to,
    word,
)
from kfac_cli.errors import listed

REFUSED = {
    "LBFGS": "it evaluates the objective several times a step",
    "Optimizer": "it is the base class of the others",
    "SparseAdam": "it takes sparse gradients only",
}


UNSUPPORTED = ("capturable", "differentiable")
"""Arguments for graphs of operations, which the engine's steps are not."""

UNFIT = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What an optimizer may raise for arguments that it cannot use."""


class TorchOptimizer:
    """An optimizer of torch.optim with the gradient of h, ℓ₂ included.

    `parameters` is θ, replaced by new tensors at each step. Raises OptionError for an algorithm
    that torch does not have, or that does not fit, and for arguments that it does not take.
    `generator` is unused: these methods draw nothing. `planned` updates are what the learning rate
    falls over.
    """

    adapts = False

    def __init__(
        self,
        network: Network,
        parameters: Parameters,
        options: TorchOptions,
        generator: torch.Generator | None = None,
        planned: int | None = None,
    ) -> None:
        self.network = network
        self.options = options
        self.planned = planned
        self.iteration = 0
        self.chunk_size = chunk_size_for(options.chunk_size, network.layer_sizes, parameters[0])
        self.parameters = parameters
        self._before = parameters  # the previous step
        self._own = [nn.Parameter(p.clone()) for p in parameters]  # whose data each step replaces
        self._optimizer = construct(options, self._own)
        self._rates = [group["lr"] for group in self._optimizer.param_groups]

    def step(self, inputs: Tensor, targets: Tensor, *, measure_noise: bool = False) -> StepRecord:
        """One update from `inputs` (m, d_0) and `targets` (m, d_ℓ).

        If the objective is not finite, the previous step is reverted instead. Raises ValueError for
        tensors of other shapes. `measure_noise` asks for the record's `noise_scale`, which takes
        two cases or more. If it raises, the parameters are those of before; what torch keeps
        besides them, which would take long to copy, may have changed.
        """
        options = self.options
        batch = MiniBatch(self.network, self.parameters, inputs, targets, self.chunk_size)
        here = Linearization.of(batch, options.l2, variance=measure_noise)
        record = StepRecord(here.objective, here.error, noise_scale=here.noise_scale)
        if not math.isfinite(here.objective):
            self.iteration += 1
            self.parameters = self._before
            return replace(record, outcome="reverted")
        for own, value, slope in zip(self._own, self.parameters, here.gradient, strict=True):
            own.data, own.grad = value.clone(), slope
        factor = options.rate_factor(self.iteration, self.planned)
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        in_bfloat16 = options.algorithm == "Muon"
        with without_emulated_bfloat16(self._own[0].device) if in_bfloat16 else nullcontext():
            self._optimizer.step()
        self.iteration += 1
        self._before = self.parameters
        self.parameters = [own.detach() for own in self._own]
        return record

    @property
    def fallbacks(self) -> dict[str, int]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to continue exactly."""
        states = [dict(self._optimizer.state.get(own, {})) for own in self._own]
        return {
            "iteration": self.iteration,
            "parameters": list(self.parameters),
            "before": list(self._before),
            "states": [{k: _copied(value) for k, value in state.items()} for state in states],
            "on_host": [[k for k, value in state.items() if _on_host(value)] for state in states],
        }

    def state_rules(self) -> Rule:
        """What `state_dict` may return with these options and parameters of these shapes."""
        kept = [_kept(self.options, p) for p in self.parameters]
        vector = like(self.parameters)
        return record(
            {
                "iteration": count(),
                "parameters": vector,
                "before": vector,
                "on_host": items([up_to(len(k.counters), word(*k.counters)) for k in kept]),
            },
            lambda state: {
                "states": items([record(k.later if state["iteration"] else k.first) for k in kept])
            },
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.iteration = state["iteration"]
        self.parameters = list(state["parameters"])
        self._before = list(state["before"])
        # torch's own load_state_dict would convert what it keeps in another precision.
        saved = zip(self._own, state["states"], state["on_host"], strict=True)
        for own, values, on_host in saved:
            self._optimizer.state.pop(own, None)
            if values:
                self._optimizer.state[own] = {
                    name: _copied(value.cpu() if name in on_host else value)
                    for name, value in values.items()
                }


def construct(options: TorchOptions, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer that the options name; raises OptionError as `TorchOptimizer` does."""
    kind = _algorithm(options.algorithm)
    arguments: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in options.arguments.items()
    }
    defaults = {name: p.default for name, p in inspect.signature(kind).parameters.items()}
    known = [name for name in defaults if name not in ("params", *UNSUPPORTED)]
    for name, value in arguments.items():
        if name not in known:
            reason = f"{options.algorithm} has no such argument; it has {', '.join(known)}"
            raise OptionError(f"arguments.{name}", value, reason)
        default = False if name in ("foreach", "fused") else defaults[name]
        if not _fits(value, default):
            reason = f"must be of the kind of {options.algorithm}'s default, {default}"
            raise OptionError(f"arguments.{name}", value, reason)
    try:
        return kind(parameters, **arguments)
    except UNFIT as error:
        raise _refusal(options, error) from error


def check(options: TorchOptions) -> None:
    """Raise OptionError for what only torch can say of the options, by a step on two weights."""
    parameter = nn.Parameter(torch.zeros(2, 2))
    optimizer = construct(options, [parameter])
    parameter.grad = torch.ones(2, 2)
    try:
        optimizer.step()
    except UNFIT as error:
        raise _refusal(options, error) from error


class _Kept(NamedTuple):
    """What torch may keep of a parameter before and after the first step; its 0-d `counters`."""

    first: Rules
    later: Rules
    counters: list[str]


def _kept(options: TorchOptions, like: Tensor) -> _Kept:
    """What torch may keep of a parameter, found by steps with two opposite gradients.

    What is positive after both is a count or a moment of squares, and never negative. Moments may
    overflow, counts cannot. The counts' dtype is torch's default, whatever the parameters'.
    """
    first, up = _trial(options, torch.ones_like(like))
    _, down = _trial(options, -torch.ones_like(like))
    later = {
        name: tensor(
            value.shape,
            *dict.fromkeys((value.dtype, like.dtype)),
            finite=value.dim() == 0,
            nonnegative=entries if bool((torch.minimum(value, down[name]) > 0).all()) else None,
        )
        for name, value in up.items()
    }
    counters = [name for name, value in up.items() if value.dim() == 0]
    return _Kept({name: later[name] for name in first}, later, counters)


def _trial(options: TorchOptions, values: Tensor) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state of a parameter before and after a step from `values` along themselves."""
    parameter = nn.Parameter(values)
    optimizer = construct(options, [parameter])
    before = dict(optimizer.state.get(parameter, {}))
    parameter.grad = values.clone()
    optimizer.step()
    return before, dict(optimizer.state.get(parameter, {}))


def _refusal(options: TorchOptions, error: Exception) -> OptionError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return OptionError(
        "arguments", options.arguments, f"{options.algorithm} refuses them: {reason}"
    )


def _fits(value: Any, default: Any) -> bool:
    """Whether a value is of the kind of an argument's default, numbers being finite."""
    if isinstance(default, bool) or default is None:
        return isinstance(value, bool) or (default is None and (value is None or _is_word(value)))
    if isinstance(default, tuple):
        alike = isinstance(value, tuple) and len(value) == len(default)
        return alike and all(map(_fits, value, default))
    if isinstance(default, int | float):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and math.isfinite(value)
    return True


def _is_word(value: Any) -> bool:
    return isinstance(value, str | float) and not isinstance(value, bool)


def _algorithm(name: str) -> type[torch.optim.Optimizer]:
    """The class that torch.optim exports under a name."""
    if name in REFUSED:
        raise OptionError("algorithm", name, f"does not fit: {REFUSED[name]}")
    known = {
        exported: kind
        for exported in torch.optim.__all__
        if isinstance(kind := getattr(torch.optim, exported), type)
        and issubclass(kind, torch.optim.Optimizer)
        and exported not in REFUSED
    }
    if name not in known:
        raise OptionError("algorithm", name, f"must be {listed(sorted(known, key=str.lower))}")
    return known[name]


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _on_host(value: Any) -> bool:
    """Whether a value is one of the counters that torch keeps on the CPU for any parameters."""
    return isinstance(value, Tensor) and value.dim() == 0 and value.device.type == "cpu"
