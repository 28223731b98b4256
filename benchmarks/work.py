"""The multiply-adds that the algorithm needs for an iteration.

`shapes` are those of the weight matrices W_i, (d_i, d_{i-1} + 1), as `Network.parameter_shapes`.
"""

from itertools import pairwise

from kfac_cli.paper.cost.formula import Shapes


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
