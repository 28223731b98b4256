"""The options of K-FAC: those of its update, and what its options ask of each other.

The symbols and sections are those of Martens and Grosse (2015), and so are the defaults, but where
the meaning says otherwise.
"""

from typing import Annotated, ClassVar

from kfac_cli.engine.declaration import OptionError, options
from kfac_cli.engine.option_types import About, Boolean, Fraction, Integer, Number
from kfac_cli.engine.options.common import LearningRate
from kfac_cli.engine.options.curvature import CurvatureOptions
from kfac_cli.engine.options.damping import DampingOptions


@options
class KFACOptions(DampingOptions, CurvatureOptions):
    """Options of K-FAC, algorithm 2."""

    STATE: ClassVar[str] = "factors, damping, momentum"
    STRUCTURE: ClassVar[tuple[str, ...]] = ("inverse", "l2_product")

    activation_memory: Annotated[
        int,
        Integer(0, 10**9),
        About(
            "MiB for the activations of a mini-batch that stay in memory for products with F; the "
            "others are computed again, with the same result up to rounding"
        ),
    ] = 512
    growth_max: Annotated[
        Annotated[float, Number(1, 1e12, low_open=True)] | None,
        About(
            "not in the paper: a step is reverted, and λ raised tenfold, where the next "
            "mini-batch finds that it made the objective more than this many times as large; "
            "null for never, as with a fixed λ"
        ),
    ] = 1.5
    rescaling: Annotated[
        Boolean,
        About("take α from the exact Fisher; false has learning_rate in its place", "α", "6.4"),
    ] = True
    learning_rate: Annotated[LearningRate, About("step size without re-scaling")] = 1.0
    alpha_scale: Annotated[
        Annotated[float, Number(0, 2, low_open=True, high_open=True)],
        About(
            "not in the paper: the α taken, as a multiple of the one that re-scaling finds; μ stays"
        ),
    ] = 1.0
    momentum: Annotated[
        Boolean,
        About("add μ times the last update, with the μ that is best together with α", "μ", "7"),
    ] = True
    mu: Annotated[
        Annotated[float, Number(0, 1, high_open=True)] | None,
        About(
            "not in the paper: a fixed μ, after the first three or, with exact_first, six "
            "iterations, which have none; re-scaling finds α for it; null for that of section 7",
            "μ",
        ),
    ] = None
    cg_steps: Annotated[
        int,
        Integer(1, 1000),
        About(
            "steps of preconditioned conjugate gradients on M(δ); 1 is the paper's algorithm, "
            "each further one takes as much as two products with F, and one with the inverse",
            "",
            "6.4",
        ),
    ] = 1
    tau2: Annotated[
        Fraction,
        About(
            "fraction of the mini-batch, its last cases, for products with the exact F: none of "
            "those of τ₁ while τ₁ + τ₂ is at most 1",
            "τ₂",
            "8",
        ),
    ] = 1 / 4

    def __post_init__(self) -> None:
        self._check_ekfac()
        self._check_curvature()
        self._check_identity()
        self._check_damping()
        self._check_update()

    @property
    def growth_limit(self) -> float | None:
        """By what factor h may grow in a step that stays; None for any."""
        return None if self.lambda_rule == "fixed" else self.growth_max

    @property
    def kept_bytes(self) -> int:
        """`activation_memory` in bytes."""
        return self.activation_memory * 2**20

    def _check_identity(self) -> None:
        """Refuse what could change nothing: F₀ = I has no factors, and γ only scales it."""
        if self.inverse != "identity":
            return
        defaults = {
            **{"pi": "trace", "fisher": "sampled", "samples": 1},
            **{"gamma_rule": "fixed", "refresh": "immediate"},
        }
        for name, value in defaults.items():
            if getattr(self, name) != value:
                reason = f"must be {value} with {{inverse}}=identity, on which it has no effect"
                raise OptionError(name, getattr(self, name), reason)

    def _check_damping(self) -> None:
        if self.gamma_rule != "search":
            return
        if self.t2 % self.t3 != 0:
            raise OptionError("t2", self.t2, f"must be a multiple of {{t3}}, which is {self.t3}")
        if self.gamma_cap < self.gamma_floor:
            source = "sqrt(l2)" if self.gamma_min is None else "{gamma_min}"
            reason = f"must be at least {source}, which is {self.gamma_floor:g}"
            raise OptionError("gamma_max", self.gamma_max, reason)

    def _check_update(self) -> None:
        if self.mu is not None and not self.momentum:
            raise OptionError("mu", self.mu, "must be null with {momentum}=false")
        if self.rescaling:
            if self.learning_rate != 1:
                reason = "needs {rescaling}=false; re-scaling computes alpha instead"
                raise OptionError("learning_rate", self.learning_rate, reason)
        else:
            self._check_fixed_rate()
        if self.cg_steps > 1 and (self.mu is not None or self.alpha_scale != 1):
            name = "mu" if self.mu is not None else "alpha_scale"
            reason = f"must be 1 with {{{name}}}={getattr(self, name):g}"
            raise OptionError("cg_steps", self.cg_steps, reason)

    def _check_fixed_rate(self) -> None:
        if self.momentum and self.mu is None:
            reason = "must be false with {rescaling}=false, or {mu} a number"
            raise OptionError("momentum", True, reason)
        if self.alpha_scale != 1:
            reason = "must be 1 with {rescaling}=false; the step size is {learning_rate}"
            raise OptionError("alpha_scale", self.alpha_scale, reason)
        if self.cg_steps > 1:
            raise OptionError("cg_steps", self.cg_steps, "must be 1 with {rescaling}=false")
