"""The present λ and γ of a run, and when they move (sections 6.5 and 6.6)."""

from kfac_cli.engine.damping import levenberg_marquardt
from kfac_cli.engine.options import KFACOptions

RAISE = 10.0
"""Factor by which a step that went wrong raises λ: ω₁ would take many such steps."""


class Damping:
    """λ (`value`) and γ (`gamma`); both 0 while λ₀ waits for its calibration."""

    def __init__(self, options: KFACOptions) -> None:
        self._options = options
        self.value = self.gamma = 0.0
        if options.lambda_initial is not None:
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

    def alarm(self) -> None:
        """Raise λ, whatever its rule, after a step that went wrong, and γ to go with it.

        Tenfold, from η at least: a λ that has long fallen below η would rise without any effect.
        """
        self.value = RAISE * max(self.value, self._options.l2)
        if self._options.gamma_rule != "fixed":
            self.gamma = max(self.gamma, self._options.gamma_at(self.value))

    def state_dict(self) -> dict[str, float]:
        """All that `load_state_dict` needs to go on exactly."""
        return {"lambda": self.value, "gamma": self.gamma}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from what `state_dict` returned."""
        self.value, self.gamma = state["lambda"], state["gamma"]
