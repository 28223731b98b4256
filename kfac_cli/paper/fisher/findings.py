"""What the paper says about its example network, and what was measured.

Each verdict follows from a rule that begins the finding's note; the paper itself has no numbers but
the error and the bound of section 3.1 and the error rate of figure 2.
"""

import torch

from kfac_cli.paper.fisher.blocks import Parts, block_means, largest_within, mean_parts
from kfac_cli.paper.fisher.example import ITERATIONS_LATER, Example
from kfac_cli.paper.fisher.matrices import Matrices
from kfac_cli.paper.rule import judged
from kfac_cli.paper.study import Finding

EXACT = 1e-6
"""Relative size below which a difference counts as rounding."""


def findings(matrices: Matrices, example: Example) -> list[Finding]:
    """All findings on the network and its matrices."""
    return [
        _training(example),
        _training_later(example),
        _coarse_structure(matrices),
        _cumulants(matrices),
        _inverse_structure(matrices),
        _exact_inverse_structure(matrices),
        _exact_blocks(matrices),
        _hat_beyond(matrices),
        _breve(matrices),
        _hat_inverse(matrices),
    ]


def _training(example: Example) -> Finding:
    return judged(
        "a few iterations of K-FAC in batch mode train the classifier to about 5 % error",
        "figure 2",
        "the error rate is at most 10 %",
        example.error <= 0.1,
        {
            "error rate": example.error,
            "iterations": example.iterations,
            "paper: error rate": 0.05,
        },
        note=" ".join(example.notes),
    )


def _training_later(example: Example) -> Finding:
    return judged(
        "further iterations train the classifier to 0 % error",
        "figure 2",
        "the error rate is below 0.5 %",
        example.error_later < 0.005,
        {
            "error rate": example.error_later,
            "iterations": max(ITERATIONS_LATER, example.iterations),
            "paper: iterations": ITERATIONS_LATER,
            "cases": len(example.inputs),
        },
        note="The paper does not say on how many cases.",
    )


def _coarse_structure(m: Matrices) -> Finding:
    pairs = torch.stack([m.exact.abs().flatten(), m.tilde.abs().flatten()])
    correlation = float(torch.corrcoef(pairs)[0, 1])
    ratios = block_means(m.tilde, m.where) / block_means(m.exact, m.where)
    low, high = float(ratios.min()), float(ratios.max())
    return judged(
        "F̃ is fairly accurate and captures the coarse structure of F",
        "section 3, figure 2",
        "the absolute entries correlate by at least 0.8, and the mean absolute entry of each block "
        "is right within a factor of 2",
        correlation >= 0.8 and low >= 0.5 and high <= 2,
        {
            "correlation of absolute entries": correlation,
            "lowest ratio of block means, F̃/F": low,
            "highest ratio of block means, F̃/F": high,
            "relative error of F̃ (Frobenius norm)": _relative(m.tilde, m.exact),
        },
    )


def _cumulants(m: Matrices) -> Finding:
    error, bound = float((m.exact - m.tilde).abs().sum()), float(m.bound.sum())
    return judged(
        "the total approximation error of F̃ is of roughly the same size as its bound by cumulants",
        "section 3.1",
        "it is at least half of the bound, and not more than the bound",
        0.5 <= error / bound <= 1,
        {
            "total error": error,
            "bound": bound,
            "error / bound": error / bound,
            "paper: total error": 2894.4,
            "paper: bound": 4134.6,
            "paper: error / bound": 2894.4 / 4134.6,
        },
        note="The totals depend on data and network; their ratio does much less.",
    )


def _inverse_structure(m: Matrices) -> Finding:
    plain, inverted = mean_parts(m.tilde, m.where), mean_parts(m.tilde_inverse, m.where)
    before, after = plain.beyond / plain.diagonal, inverted.beyond / inverted.diagonal
    return judged(
        "F̃⁻¹ is approximately block-tridiagonal, F̃ itself is not",
        "section 4.1, figure 3",
        "in F̃⁻¹ the mean absolute entry of the blocks beyond the tridiagonal is at most three "
        "quarters of that of the neighbours of the diagonal blocks, and relative to that of the "
        "diagonal blocks at most a quarter of what it is in F̃",
        inverted.beyond <= 0.75 * inverted.neighbours and after <= before / 4,
        {
            **_shares(plain, "F̃"),
            **_shares(inverted, "F̃⁻¹"),
            "beyond / neighbours, F̃": plain.beyond / plain.neighbours,
            "beyond / neighbours, F̃⁻¹": inverted.beyond / inverted.neighbours,
            "beyond / diagonal, F̃": before,
            "beyond / diagonal, F̃⁻¹": after,
        },
        note="The inverse is damped as in K-FAC's last iteration.",
    )


def _exact_inverse_structure(m: Matrices) -> Finding:
    pairs = {"F/F̃": (m.exact, m.tilde), "F⁻¹/F̃⁻¹": (m.exact_inverse, m.tilde_inverse)}
    numbers: dict[str, float] = {}
    holds = True
    for name, (exact, tilde) in pairs.items():
        ratios = block_means(exact, m.where) / block_means(tilde, m.where)
        low, high = float(ratios.min()), float(ratios.max())
        numbers |= {f"lowest ratio of block means, {name}": low}
        numbers |= {f"highest ratio of block means, {name}": high}
        holds &= low >= 0.5 and high <= 2
    numbers |= _shares(mean_parts(m.exact_inverse, m.where), "F⁻¹")
    return judged(
        "the plots of the exact F and its inverse look similar to those of F̃ and F̃⁻¹",
        "figure 3",
        "the mean absolute entry of each block is within a factor of 2",
        holds,
        numbers,
        note="Factored damping has no form for F: what it adds to F̃ is added before F is inverted.",
    )


def _shares(parts: Parts, name: str) -> dict[str, float]:
    return {f"share {part}, {name}": value for part, value in vars(parts.shares).items()}


def _exact_blocks(m: Matrices) -> Finding:
    largest = float(m.tilde.abs().max())
    breve = largest_within(m.breve - m.tilde, m.where, 0) / largest
    hat = largest_within(m.hat - m.tilde, m.where, 1) / largest
    return judged(
        "F̆ has exactly the diagonal blocks of F̃, and F̂ its tridiagonal blocks",
        "section 4.3, figure 5",
        f"K-FAC's fast inverses, inverted, have them within {EXACT:g} of the largest entry of F̃",
        max(breve, hat) <= EXACT,
        {
            "largest relative difference, diagonal of F̆": breve,
            "largest relative difference, tridiagonal of F̂": hat,
        },
    )


def _hat_beyond(m: Matrices) -> Finding:
    tilde = mean_parts(m.tilde, m.where).beyond
    hat = mean_parts(m.hat - m.tilde, m.where).beyond / tilde
    breve = mean_parts(m.breve - m.tilde, m.where).beyond / tilde
    return judged(
        "F̂ approximates the off-tridiagonal blocks of F̃ very well, though not exactly",
        "section 4.4, figure 5",
        "its mean absolute error there is at most a tenth of their mean absolute entry, and not 0",
        EXACT < hat <= 0.1,
        {"relative error beyond, F̂": hat, "relative error beyond, F̆": breve},
        note="All without damping.",
    )


def _breve(m: Matrices) -> Finding:
    inverse = _relative(m.breve_inverse, m.tilde_inverse)
    damped = _relative(torch.linalg.inv(m.breve_inverse), torch.linalg.inv(m.tilde_inverse))
    return judged(
        "F̆⁻¹ is a reasonably good approximation of F̃⁻¹, although F̆ is a rather poor one of F̃",
        "section 4.4, figure 6",
        "the relative error of F̆⁻¹ is at most half of that of F̆, both with the same damping",
        inverse <= damped / 2,
        {
            "relative error of F̆⁻¹, damped": inverse,
            "relative error of F̆, damped": damped,
            "relative error of F̆, undamped": _relative(m.breve, m.tilde),
        },
        note="Relative errors are in the Frobenius norm; figure 5 shows F̆ undamped.",
    )


def _hat_inverse(m: Matrices) -> Finding:
    breve = mean_parts(m.breve_inverse - m.tilde_inverse, m.where)
    hat = mean_parts(m.hat_inverse - m.tilde_inverse, m.where)
    errors = {
        "F̆⁻¹": _relative(m.breve_inverse, m.tilde_inverse),
        "F̂⁻¹": _relative(m.hat_inverse, m.tilde_inverse),
    }
    return judged(
        "F̂⁻¹ is a significantly better approximation of F̃⁻¹ than F̆⁻¹ is, even on the diagonal "
        "blocks",
        "section 4.4, figure 6",
        "its relative error is smaller by at least a quarter, and its mean absolute error on the "
        "diagonal blocks by at least half",
        errors["F̂⁻¹"] <= 0.75 * errors["F̆⁻¹"] and hat.diagonal <= breve.diagonal / 2,
        {
            **{f"relative error of {name}": value for name, value in errors.items()},
            **{f"mean error {part}, F̆⁻¹": value for part, value in vars(breve).items()},
            **{f"mean error {part}, F̂⁻¹": value for part, value in vars(hat).items()},
        },
    )


def _relative(approximation: torch.Tensor, matrix: torch.Tensor) -> float:
    return float((approximation - matrix).norm() / matrix.norm())
