"""The options of the baselines: every option with its range, default, meaning and source.

Nothing here needs torch.
"""

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Strict

from kfac_cli.engine.declaration import options
from kfac_cli.engine.option_types import About, Allowed, BelowOne, CountFromZero
from kfac_cli.engine.options.common import LearningRate, OptimizerOptions


@options
class NesterovOptions(OptimizerOptions):
    """Options of SGD with Nesterov momentum (Sutskever et al. 2013, section 2)."""

    STATE: ClassVar[str] = "velocity"

    learning_rate: Annotated[LearningRate, About("learning rate", "ε")] = 0.01
    mu_max: Annotated[BelowOne, About("largest momentum", "μ_max")] = 0.99
    mu_schedule: Annotated[
        Literal["increasing", "fixed"],
        About("momentum: μ_t = min(1 - 2^(-1 - log₂(⌊t/250⌋ + 1)), μ_max), or μ_max throughout"),
    ] = "increasing"
    mu_final: Annotated[BelowOne, About("momentum of the last iterations")] = 0.9
    final_iterations: Annotated[
        CountFromZero, About("how many last iterations have that momentum; 0 for none")
    ] = 1000

    def momentum_at(self, updates_done: int, planned: int | None) -> float:
        """μ_t for t = `updates_done` = 0, 1, …, with so many updates planned, None for no end.

        From Sutskever et al. (2013), section 3.
        """
        mu = self.mu_max
        if self.mu_schedule == "increasing":
            mu = min(1 - 2 ** (-1 - math.log2(updates_done // 250 + 1)), mu)
        final = self.final_iterations
        if planned is not None and final > 0 and updates_done >= planned - final:
            mu = min(mu, self.mu_final)
        return mu

    def planned_values(self, updates_done: int, planned: int) -> tuple[float, ...]:
        return (self.momentum_at(updates_done, planned),)


@options
class TorchOptions(OptimizerOptions):
    """Options of an optimizer of torch.optim."""

    STATE: ClassVar[str] = "torch's state"
    STRUCTURE: ClassVar[tuple[str, ...]] = (
        "algorithm",
        "arguments.amsgrad",
        "arguments.centered",
        "arguments.momentum",
    )

    algorithm: Annotated[
        str, Strict(), Allowed("a name that torch.optim exports"), About("the method")
    ]
    arguments: Annotated[
        dict[str, Any],
        Allowed("names with values, {lr: 0.001}"),
        About("arguments of its constructor; those not given have torch's defaults"),
    ]
    rate_schedule: Annotated[
        Literal["constant", "linear", "cosine"],
        About("what the learning rate falls to 0 by over the planned iterations"),
    ] = "constant"
    warmup: Annotated[
        CountFromZero, About("first iterations, over which the learning rate grows linearly")
    ] = 0

    def rate_factor(self, updates_done: int, planned: int | None) -> float:
        """The factor of the learning rate at t = `updates_done` = 0, 1, ….

        Without an end, `planned` being None, it does not fall.
        """
        if updates_done < self.warmup:
            return (updates_done + 1) / self.warmup
        if self.rate_schedule == "constant" or planned is None:
            return 1.0
        progress = (updates_done - self.warmup) / max(planned - self.warmup, 1)
        left = max(1 - progress, 0.0)
        return left if self.rate_schedule == "linear" else 0.5 * (1 - math.cos(math.pi * left))

    def planned_values(self, updates_done: int, planned: int) -> tuple[float, ...]:
        return (self.rate_factor(updates_done, planned),)
