"""What one optimizer step reports."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StepRecord:
    """Figures of one step, measured on its mini-batch before the update.

    `objective` includes ℓ₂. For K-FAC: `alpha`, `mu`, the reduction ratio `rho` where the λ rule
    was applied, the λ (`damping`) and γ in force after the step, and `model_change`, M(δ) - M(0).
    `noise_scale` is tr Var / ‖∇h‖² (`gradient_noise.py`) of a step that was asked to measure it.
    None where a figure does not exist. `rejected` marks a step that was not taken, for what it
    would have been or for what the one before it led to; that one is then `reverted`.
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
