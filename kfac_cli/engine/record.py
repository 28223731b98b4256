"""The record of one optimizer step."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["accepted", "rejected", "reverted"]
"""A step was taken; it was not; or it was not and the previous one was undone too."""


@dataclass(frozen=True)
class StepRecord:
    """Metrics of one step, measured on its mini-batch before the update; None where undefined.

    `objective` includes ℓ₂. For K-FAC: `alpha`, `mu`, the reduction ratio `rho` where the λ rule
    was applied, λ (`damping`) and `gamma` after the step, and `model_change`, M(δ) - M(0), where M
    was computed.
    `noise_scale` is tr Var / ‖∇h‖² (`gradient_noise.py`) if the step was asked to measure it.
    """

    objective: float
    error: float
    alpha: float | None = None
    mu: float | None = None
    rho: float | None = None
    damping: float | None = None
    gamma: float | None = None
    model_change: float | None = None
    noise_scale: float | None = None
    outcome: Outcome = "accepted"
