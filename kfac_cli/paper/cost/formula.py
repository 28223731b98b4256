"""The cost formula of section 8: seconds of an average iteration from sizes and constants.

`shapes` are those of the weight matrices W_i, (d_i, d_{i-1} + 1), as `Network.parameter_shapes`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kfac_cli.engine.options.kfac import KFACOptions

Shapes = Sequence[tuple[int, int]]


class Settings(NamedTuple):
    """What the cost depends on besides the network: the symbols of section 8.

    `t1` and `t2` are None where λ and γ are never adjusted. `shortcut` says whether task 6 of the
    block-diagonal inverse takes advantage of the low rank of the gradient. Without `rescaling` α is
    fixed, and only their adjustments need M.
    """

    tau1: float = 1 / 8
    tau2: float = 1 / 4
    t1: int | None = 5
    t2: int | None = 20
    t3: int = 20
    momentum: bool = True
    tridiagonal: bool = True
    shortcut: bool = True
    rescaling: bool = True

    @classmethod
    def of(cls, options: KFACOptions) -> "Settings":
        """Those of K-FAC with these options; the ℓ₂ term excludes the shortcut (section 8)."""
        return cls(
            options.tau1,
            options.tau2,
            None if options.lambda_rule == "fixed" else options.t1,
            options.t2 if options.gamma_rule == "search" else None,
            options.t3,
            options.momentum,
            options.inverse == "block_tridiagonal",
            options.l2 == 0 or options.l2_product == "refreshed",
            options.rescaling,
        )


@dataclass(frozen=True)
class Sizes:
    """The powers of the formula for any layers; those of the paper where all are d × d."""

    squares: float
    """ℓd²"""
    cubes_of_factors: float
    """ℓd³ of factorisations: Σ (p³ + q³) / 2"""
    cubes_of_products: float
    """ℓd³ of products with the inverse: Σ pq (p + q) / 2"""
    low_rank: float
    """ℓd² min(d, m) of the shortcut for the block-diagonal inverse"""

    @classmethod
    def of(cls, shapes: Shapes, cases: int) -> "Sizes":
        """The sums over the layers, for mini-batches of so many cases."""
        return cls(
            float(sum(p * q for p, q in shapes)),
            sum(p**3 + q**3 for p, q in shapes) / 2,
            sum(p * q * (p + q) for p, q in shapes) / 2,
            float(sum(p * q * min((p + q) / 2, cases) for p, q in shapes)),
        )

    def products(self, settings: Settings) -> float:
        """The power of task 6."""
        low_rank = settings.shortcut and not settings.tridiagonal
        return self.low_rank if low_rank else self.cubes_of_products


class Constants(NamedTuple):
    """C₁ … C₆, in seconds for each unit; the inverse's are C₃ and C₅, or C₄ and C₆."""

    passes: float
    gradient: float
    factorisation: float
    product: float


def kfac_cost(
    sizes: Sizes, cases: int, constants: Constants, settings: Settings
) -> dict[int, float]:
    """Seconds of an average iteration for each of the eight tasks of section 8."""
    c = constants
    unit = sizes.squares * cases
    search = _candidates(settings)
    return {
        1: 2 * c.passes * unit,
        2: c.gradient * unit,
        3: settings.tau1 * c.passes * unit,
        4: 2 * settings.tau1 * c.gradient * unit,
        5: inverses_by_formula(settings) * c.factorisation * sizes.cubes_of_factors,
        6: search * c.product * sizes.products(settings),
        7: 2 * (1 + settings.momentum) * _models(settings) * settings.tau2 * c.passes * unit,
        8: _share(settings.t1) * c.passes * unit,
    }


def inverses_by_formula(settings: Settings) -> float:
    """The inverses of an average iteration as the formula counts them, (1 + 2/T₂) / T₃."""
    return _candidates(settings) / settings.t3


def inverses(settings: Settings) -> float:
    """The inverses of an average iteration of algorithm 2, 1/T₃ + 2/T₂.

    One for each refresh, and two more for each search for γ.
    """
    return 1 / settings.t3 + 2 * _share(settings.t2)


def sgd_cost(sizes: Sizes, cases: int, constants: Constants) -> float:
    """Seconds of an iteration of SGD, (2C₁ + C₂) ℓd²m."""
    return (2 * constants.passes + constants.gradient) * sizes.squares * cases


def _candidates(settings: Settings) -> float:
    """The versions of the update in an average iteration: three where γ is searched for."""
    return 1 + 2 * _share(settings.t2)


def _models(settings: Settings) -> float:
    """Of those, the versions of which M is computed."""
    if settings.rescaling:
        return _candidates(settings)
    t1, t2 = settings.t1, settings.t2
    both = None if t1 is None or t2 is None else math.lcm(t1, t2)
    return 3 * _share(t2) + _share(t1) - _share(both)


def _share(period: int | None) -> float:
    """The share of iterations that do what is done once in so many."""
    return 0.0 if period is None else 1 / period
