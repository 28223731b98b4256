"""K-FAC's options of the damping: λ of the quadratic model, and γ of the inverse (section 6).

The symbols and sections are those of Martens and Grosse (2015), and so are the defaults, but where
the meaning says otherwise.
"""

import math
from typing import Annotated, Literal

from kfac_cli.engine.declaration import options
from kfac_cli.engine.option_types import About, Count, Number
from kfac_cli.engine.options.common import OptimizerOptions

Gamma = Annotated[float, Number(0, 1e6, low_open=True)]
Decay = Annotated[float, Number(0, 1, low_open=True, high_open=True)]


@options
class DampingOptions(OptimizerOptions):
    """The options of K-FAC's λ and γ."""

    lambda_initial: Annotated[
        Literal["auto"] | Annotated[float, Number(0, 1e12, low_open=True)],
        About(
            "λ at the start; auto finds it by trial steps in the first iterations (the paper has "
            "150 for every problem)",
            "λ₀",
            "6.5",
        ),
    ] = "auto"
    lambda_rule: Annotated[
        Literal["levenberg_marquardt", "fixed"],
        About("whether λ follows the reduction ratio or stays", "λ", "6.5"),
    ] = "levenberg_marquardt"
    t1: Annotated[Count, About("iterations between adjustments of λ", "T₁", "6.5")] = 5
    omega1: Annotated[
        Decay | None, About("factor by which λ is adjusted; null for (19/20)^T₁", "ω₁", "6.5")
    ] = None

    gamma_initial: Annotated[
        Gamma | None, About("γ at the start; null for √(λ₀ + η)", "γ₀", "6.6")
    ] = None
    gamma_rule: Annotated[
        Literal["search", "tied", "fixed"],
        About("whether γ is searched for, tied to √(λ + η) (6.3), or stays", "γ", "6.6"),
    ] = "search"
    gamma_min: Annotated[
        Annotated[float, Number(0, 1e6)] | None,
        About(
            "lower bound of the γ that are tried, from the companion code; 0 for none, null for √η"
        ),
    ] = None
    gamma_max: Annotated[
        Gamma | None,
        About(
            "upper bound of a larger γ that is tried, from the companion code, so that γ does not "
            "get stuck too high; null for none"
        ),
    ] = 1.0
    t2: Annotated[
        Count,
        About(
            "iterations between searches for γ, each of which makes three inverses; a multiple "
            "of T₃",
            "T₂",
            "6.6",
        ),
    ] = 20
    omega2: Annotated[
        Decay | None, About("step of the search for γ; null for √(19/20)^T₂", "ω₂", "6.6")
    ] = None

    def gamma_at(self, damping: float) -> float:
        """√(λ+η), the γ that belongs to λ (section 6.3)."""
        return math.sqrt(damping + self.l2)

    @property
    def gamma_floor(self) -> float:
        """The smallest candidate for γ."""
        return math.sqrt(self.l2) if self.gamma_min is None else self.gamma_min

    @property
    def gamma_cap(self) -> float:
        """The largest candidate for γ."""
        return math.inf if self.gamma_max is None else self.gamma_max

    @property
    def lambda_factor(self) -> float:
        """ω₁."""
        return (19 / 20) ** self.t1 if self.omega1 is None else self.omega1

    @property
    def gamma_factor(self) -> float:
        """ω₂."""
        return (19 / 20) ** (self.t2 / 2) if self.omega2 is None else self.omega2
