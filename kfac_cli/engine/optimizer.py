"""What every optimizer of the engine looks like to a run."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol, TypeVar, cast

from torch import Tensor

from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.record import StepRecord
from kfac_cli.engine.state_rules import Rule


class Optimizer(Protocol):
    """An optimizer and its state, which `step` advances.

    Made from a network, its parameters, the options of its kind, a generator for what it draws, and
    the number of updates planned (None for no end). `parameters` is θ, replaced by new tensors at
    each step; `iteration` counts the steps; `chunk_size` is the number of cases computed at once.
    `adapts` says whether a rejected step changes the next one, so that trying again makes sense. A
    step whose outcome is "reverted" has restored the parameters from before the previous one. A
    step that raises leaves the parameters as they were, and optimizers of this package, not those
    of torch, as a whole.
    """

    parameters: Parameters
    iteration: int
    chunk_size: int
    adapts: bool

    def step(self, inputs: Tensor, targets: Tensor, *, measure_noise: bool = False) -> StepRecord:
        """One update from a mini-batch in random order, (m, d_0) and (m, d_ℓ).

        Raises ValueError for tensors of other shapes. `measure_noise` asks for the record's
        `noise_scale`, which takes two cases or more.
        """
        ...

    @property
    def fallbacks(self) -> dict[str, int]:
        """How often rounding errors made a computation use a fallback, by kind."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to continue exactly: tensors, numbers and containers."""
        ...

    def state_rules(self) -> Rule:
        """What `state_dict` may return with these options and parameters of these shapes.

        It is for states of unknown origin: `load_state_dict` does not check.
        """
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        ...


Step = TypeVar("Step", bound=Callable[..., StepRecord])


def undone_on_error(step: Step) -> Step:
    """Decorate the step of an optimizer so that one that raises leaves it as it was.

    What `state_dict` returns must not change with the step: the optimizer replaces its tensors, or
    `state_dict` copies those that change in place.
    """

    @wraps(step)
    def undone(self: Optimizer, *arguments: Any, **keywords: Any) -> StepRecord:
        before = self.state_dict()
        try:
            return step(self, *arguments, **keywords)
        except BaseException:
            self.load_state_dict(before)
            raise

    return cast(Step, undone)
