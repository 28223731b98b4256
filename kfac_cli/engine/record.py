"""The record of one optimizer step."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StepRecord:
    """Metrics of one step, measured on its mini-batch before the update; None where undefined.

    `objective` includes ℓ₂. For K-FAC: `alpha`, `mu`, the reduction ratio `rho` where the λ rule
    was applied, λ (`damping`) and `gamma` after the step, and `model_change`, M(δ) - M(0).
    `noise_scale` is tr Var / ‖∇h‖² (`gradient_noise.py`) if the step was asked to measure it.
    `rejected` means that the step was not taken, `reverted` that the previous one was undone too.
    """

    objective: float
    error: float
    alpha: float | None = None
    mu: float | None = None
    rho: float | None = None
    damping: float | None = None
    gamma: float | None = None
    model_change: float | None = None
    rejected: bool = False
    reverted: bool = False
    noise_scale: float | None = None
