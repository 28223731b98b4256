"""The damping parameters λ and γ: the rule for λ (section 6.5), candidates for γ (6.6)."""

import math
import sys

from kfac_cli.engine.options.kfac import KFACOptions
from kfac_cli.engine.state_rules import LARGEST_NUMBER, Rule, number, record

INCREASE_FACTOR = 10.0
"""Factor by which a rejected step increases λ; 1/ω₁ would need many rejections."""

SUFFICIENT, GOOD = 0.25, 0.75
"""The reduction ratios ρ below which λ is too small, and above which it is too large (6.5)."""


class Damping:
    """λ (`value`) and γ (`gamma`); both 0 until `start` if λ₀ is to be calibrated."""

    def __init__(self, options: KFACOptions) -> None:
        self._options = options
        self.value = self.gamma = 0.0
        if options.lambda_initial != "auto":
            self.start(options.lambda_initial)

    def start(self, value: float) -> None:
        """Set λ to `value`, and γ to its initial value in the options or, if null, to √(λ+η)."""
        initial = self._options.gamma_initial
        self.value = value
        self.gamma = self._options.gamma_at(value) if initial is None else initial

    def candidates(self, iteration: int) -> list[float]:
        """The values of γ to choose from at iteration k (algorithm 2, the set Γ)."""
        options = self._options
        if options.gamma_rule != "search" or iteration % options.t2 != 0:
            return [self.gamma]
        bounds = options.gamma_floor, options.gamma_cap
        return gamma_candidates(self.gamma, options.gamma_factor, *bounds)

    def adapt(self, rho: float | None, *, unresolved: bool = False) -> None:
        """Adjust λ by the reduction ratio ρ, if there is one, and γ if it is tied to λ.

        Where the changes are `unresolved`, too small for a ρ, λ decreases. Either the problem is
        solved, and λ does not matter; or λ is what makes the steps that small. As it decreases,
        they grow until ρ can be measured again, and decides. So it does where M predicts an
        increase and h does not.
        """
        options = self._options
        if rho is None and unresolved:
            rho = 1.0
        if options.lambda_rule == "levenberg_marquardt" and rho is not None:
            self.value = levenberg_marquardt(self.value, rho, options.lambda_factor)
        if options.gamma_rule == "tied":
            self.gamma = options.gamma_at(self.value)

    def increase(self) -> None:
        """Increase λ, whatever its rule, after a rejected step, and with it γ unless it is fixed.

        The new λ is 10 max(λ, η): as λ is added to η, increasing a much smaller one has no effect.
        Without η, γ² takes its place: a λ that has decreased for long would have to do so again.
        """
        floor = self._options.l2 if self._options.l2 > 0 else self.gamma**2
        self.value = INCREASE_FACTOR * max(self.value, floor)
        if self._options.gamma_rule != "fixed":
            self.gamma = max(self.gamma, self._options.gamma_at(self.value))

    def keep_at_least(self, earlier: "Damping") -> None:
        """Return to the λ and γ of an earlier time where those were larger."""
        self.value = max(self.value, earlier.value)
        self.gamma = max(self.gamma, earlier.gamma)

    def state_dict(self) -> dict[str, float]:
        """Everything that `load_state_dict` needs to resume exactly."""
        return {"lambda": self.value, "gamma": self.gamma}

    @staticmethod
    def state_rules() -> Rule:
        """What `state_dict` may return; γ² does not overflow."""
        return record({"lambda": number(), "gamma": number(0, math.sqrt(LARGEST_NUMBER))})

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Resume from what `state_dict` returned."""
        self.value, self.gamma = state["lambda"], state["gamma"]


def reduction_ratio(change: float, predicted: float, rounding_error: float) -> float | None:
    """ρ = (h(θ+δ) - h(θ)) / (M(δ) - M(0)), the change of h over the predicted one (section 6.5).

    None where M predicts no more than the `rounding_error` of h: the ratio is then noise, and after
    convergence it would increase λ without end. M may predict an increase, without re-scaling or of
    a μ that is held: None where h does not increase then, for a larger λ would only make M predict
    more of one. NaN where h does, or is not finite.
    """
    if not math.isfinite(change):
        return math.nan
    if abs(predicted) <= rounding_error:
        return None
    if predicted < 0:
        return change / predicted
    return math.nan if change > 0 else None


def levenberg_marquardt(damping: float, rho: float, omega: float) -> float:
    """The next λ (section 6.5).

    λω₁ where the reduction ratio ρ is above 3/4; λ/ω₁ where it is below 1/4, as for every increase
    of the objective, or not finite.
    """
    if not math.isfinite(rho) or rho < SUFFICIENT:
        return damping / omega
    if rho > GOOD:
        # Full-batch runs decrease λ for thousands of iterations; from 0 it could never increase.
        return max(damping * omega, sys.float_info.min)
    return damping


def gamma_candidates(gamma: float, omega: float, smallest: float, largest: float) -> list[float]:
    """γ, ω₂γ and γ/ω₂ (section 6.6), without duplicates, the current value first.

    As in the authors' companion code, ω₂γ is at least `smallest` and γ/ω₂ at most `largest`, which
    may be infinite. A current γ above `largest` remains a candidate.
    """
    candidates = [gamma, max(omega * gamma, smallest), min(gamma / omega, largest)]
    return list(dict.fromkeys(candidates))
