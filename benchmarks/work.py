"""The work of an iteration: what the algorithm needs, and the cost formula of section 8.

`shapes` are those of the weight matrices W_i, (d_i, d_{i-1} + 1), as `Network.parameter_shapes`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

Shapes = Sequence[tuple[int, int]]


class Settings(NamedTuple):
    """What the cost depends on besides the network: the symbols of section 8."""

    tau1: float = 1 / 8
    tau2: float = 1 / 4
    t1: int = 5
    t2: int = 20
    t3: int = 20
    momentum: bool = True
    tridiagonal: bool = True


def unavoidable_multiply_adds(
    shapes: Shapes, cases: int, subset1: int, subset2: int, *, tridiagonal: bool
) -> dict[str, int]:
    """The multiply-adds of the products of a plain iteration, with momentum, by what they are for.

    `subset1` and `subset2` are the cases in S₁ and S₂. The input's columns for the biases are not
    propagated to. The inverse's products are those of section 4.2 or 4.3, Σ⁻¹ in the form of
    appendix B.
    """
    forward = sum(p * q for p, q in shapes)
    backward = sum(p * (q - 1) for p, q in shapes[1:])
    moments = sum(p * p + q * q for p, q in shapes)
    if tridiagonal:
        moments += sum(p * p1 + q * q1 for (p, q), (p1, q1) in pairwise(shapes))
    inverse = sum(p * q * (p + q) for p, q in shapes)
    if tridiagonal:
        inverse += sum(map(_coupling, shapes[:-1], shapes[1:]))
    return {
        "forward": cases * forward,
        "backward": cases * backward,
        "gradient": cases * forward,
        "statistics": subset1 * (backward + moments),
        "J v": 2 * subset2 * (forward + backward),
        "F⁻¹v": inverse,
    }


def _coupling(layer: tuple[int, int], above: tuple[int, int]) -> int:
    """The multiply-adds by which the block-tridiagonal inverse exceeds the block-diagonal one.

    Ψ twice, for Ξ and Ξᵀ, and the term of Σ⁻¹ in the eigenvectors, whose number is bounded by the
    narrower of the two layers.
    """
    (p, q), (p1, q1) = layer, above
    rank1, rank2 = min(q, q1), min(p, p1)
    psi = p * p1 * q1 + p * q1 * q
    psi_transposed = p1 * p * q + p1 * q * q1
    sigma = rank2 * p * q + rank2 * rank1 * q + p * rank2 * rank1 + p * rank1 * q
    return psi + psi_transposed + sigma


@dataclass(frozen=True)
class Sizes:
    """The powers of the formula for any layers; those of the paper where all are d × d."""

    squares: float
    """ℓd²"""
    cubes_of_factors: float
    """ℓd³ of factorisations: Σ (p³ + q³) / 2"""
    cubes_of_products: float
    """ℓd³ of products with the inverse: Σ pq (p + q) / 2"""
    shortcut: float
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
    search = 1 + 2 / settings.t2
    products = sizes.cubes_of_products if settings.tridiagonal else sizes.shortcut
    return {
        1: 2 * c.passes * unit,
        2: c.gradient * unit,
        3: settings.tau1 * c.passes * unit,
        4: 2 * settings.tau1 * c.gradient * unit,
        5: search / settings.t3 * c.factorisation * sizes.cubes_of_factors,
        6: search * c.product * products,
        7: 2 * (1 + settings.momentum) * search * settings.tau2 * c.passes * unit,
        8: c.passes * unit / settings.t1,
    }


def sgd_cost(sizes: Sizes, cases: int, constants: Constants) -> float:
    """Seconds of an iteration of SGD, (2C₁ + C₂) ℓd²m."""
    return (2 * constants.passes + constants.gradient) * sizes.squares * cases
