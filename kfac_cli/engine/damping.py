"""The dampings λ and γ over the iterations: the rule for λ (6.5) and the search for γ (6.6)."""

import math
import sys

from kfac_cli.engine.options import KFACOptions

INCREASE_FACTOR = 10.0
"""Factor by which a step that went wrong raises λ: ω₁ would take many such steps."""


class Damping:
    """λ (`value`) and γ (`gamma`); both 0 while λ₀ waits for its calibration."""

    def __init__(self, options: KFACOptions) -> None:
        self._options = options
        self.value = self.gamma = 0.0
        if options.lambda_initial != "auto":
            self.start(options.lambda_initial)

    def start(self, value: float) -> None:
        """Begin at λ = `value`, and at the γ given for the start or that belongs to λ."""
        initial = self._options.gamma_initial
        self.value = value
        self.gamma = self._options.gamma_at(value) if initial is None else initial

    def adapt(self, rho: float | None) -> None:
        """Move λ by the reduction ratio ρ, if there is one, and a γ that is tied to it."""
        options = self._options
        if options.lambda_rule == "levenberg_marquardt" and rho is not None:
            self.value = levenberg_marquardt(self.value, rho, options.lambda_factor)
        if options.gamma_rule == "tied":
            self.gamma = options.gamma_at(self.value)

    def increase(self) -> None:
        """Raise λ, whatever its rule, after a step that went wrong, and γ to go with it.

        Tenfold, from η at least: a λ that has long fallen below η would rise without any effect.
        """
        self.value = INCREASE_FACTOR * max(self.value, self._options.l2)
        if self._options.gamma_rule != "fixed":
            self.gamma = max(self.gamma, self._options.gamma_at(self.value))

    def state_dict(self) -> dict[str, float]:
        """All that `load_state_dict` needs to go on exactly."""
        return {"lambda": self.value, "gamma": self.gamma}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from what `state_dict` returned."""
        self.value, self.gamma = state["lambda"], state["gamma"]


def reduction_ratio(change: float, predicted: float, rounding: float) -> float | None:
    """ρ = (h(θ+δ) - h(θ)) / (M(δ) - M(0)), the change of h over the predicted one (section 6.5).

    None where M promises no more than `rounding`, an error to be expected in h: such a ratio says
    nothing, and where nothing is left to learn it would make λ rise without end. NaN where h is not
    finite, and where M promises an increase, as it may for an update that it did not scale.
    """
    if not math.isfinite(change):
        return math.nan
    if abs(predicted) <= rounding:
        return None
    return change / predicted if predicted < 0 else math.nan


def levenberg_marquardt(damping: float, rho: float, omega: float) -> float:
    """The next λ (section 6.5).

    λ ω₁ where the reduction ratio ρ is above 3/4, λ/ω₁ where it is below 1/4 or not finite, which
    includes every increase of the objective.
    """
    if not math.isfinite(rho) or rho < 0.25:
        return damping / omega
    if rho > 0.75:
        # Full-batch runs shrink λ for thousands of iterations; it must not reach 0 for good.
        return max(damping * omega, sys.float_info.min)
    return damping


def gamma_candidates(gamma: float, omega: float, smallest: float, largest: float) -> list[float]:
    """γ, ω₂γ and γ/ω₂ (section 6.6), without duplicates, the present value first.

    The smaller one is floored at `smallest` and the larger one capped at `largest`, as in the
    authors' companion code. A γ that starts above the cap may stay, so that the "larger" candidate
    is then the cap itself; `largest` may be infinite.
    """
    candidates = [gamma, max(omega * gamma, smallest), min(gamma / omega, largest)]
    return list(dict.fromkeys(candidates))
