"""What the paper says about figure 7, and what was measured.

The paper has no numbers here; each verdict follows from a rule that begins the finding's note, and
which both inverses must meet.
"""

from collections.abc import Sequence

from kfac_cli.errors import listed
from kfac_cli.paper.damping.curves import Curve, curve
from kfac_cli.paper.damping.measure import INVERSES, MOMENTUM, RAW, RESCALED, Improvement
from kfac_cli.paper.rule import judged
from kfac_cli.paper.study import Finding, Verdict

Curves = dict[tuple[str, str], Curve]

ROUNDED = 1 - 1e-9
"""So much below its own value a product of two γ may be rounded."""

NAMES = {"block_tridiagonal": "F̂⁻¹", "block_diagonal": "F̆⁻¹"}


def findings(points: Sequence[Improvement], note: str) -> list[Finding]:
    """All findings; `note` says at which point of which run."""
    curves: Curves = {
        (inverse, update): curve(points, inverse, update)
        for inverse in INVERSES
        for update in (RAW, RESCALED, MOMENTUM)
    }
    failing = [
        f"the {update} update of {NAMES[inverse]}"
        for (inverse, update), each in curves.items()
        if update != RAW and not each.best.improvement > 0
    ]
    if failing:
        reason = f"At this point no γ improves h by {listed(failing)}."
        nothing = "what figure 7 shows of the updates"
        return [Finding(nothing, "figure 7", Verdict.NOT_MEASURED, {}, 0, f"{reason} {note}")]
    comparisons = (
        _raw_needs_large_gamma,
        _rescaling_is_better,
        _sensitivity,
        _momentum,
        _tridiagonal,
        _model_chooses_gamma,
    )
    return [compare(curves, len(points), note) for compare in comparisons]


def _raw_needs_large_gamma(curves: Curves, n: int, note: str) -> Finding:
    holds, numbers = True, {}
    for inverse in INVERSES:
        raw, best = curves[inverse, RAW], curves[inverse, RESCALED].best
        there = raw.at(best.gamma).improvement
        holds &= not there > 0 and raw.lowest_improving >= 10 * best.gamma * ROUNDED
        numbers[f"{NAMES[inverse]}: best γ, re-scaled"] = best.gamma
        numbers[f"{NAMES[inverse]}: improvement by raw Δ there"] = there
        numbers[f"{NAMES[inverse]}: smallest γ from which raw Δ improves h"] = raw.lowest_improving
    return judged(
        "without re-scaling, Δ gives no improvement of h at all unless γ is very large",
        "section 6.4, figure 7",
        "for both inverses it gives none at the γ that is best with re-scaling, and from no γ on "
        "below ten times that",
        holds,
        numbers,
        n,
        note,
    )


def _rescaling_is_better(curves: Curves, n: int, note: str) -> Finding:
    holds, numbers = True, {}
    for inverse in INVERSES:
        raw, rescaled = curves[inverse, RAW].best, curves[inverse, RESCALED].best
        holds &= rescaled.gamma < raw.gamma
        holds &= rescaled.improvement >= 2 * raw.improvement
        for point in (raw, rescaled):
            numbers[f"{NAMES[inverse]}: best γ, {point.update}"] = point.gamma
            numbers[f"{NAMES[inverse]}: improvement there, {point.update}"] = point.improvement
    return judged(
        "re-scaling allows a much smaller γ and gives a much more effective update",
        "section 6.4, figure 7",
        "for both inverses the best γ is smaller, and h improves at least twice as much there",
        holds,
        numbers,
        n,
        note,
    )


def _sensitivity(curves: Curves, n: int, note: str) -> Finding:
    widths = {
        (inverse, update): curves[inverse, update].width
        for inverse in INVERSES
        for update in (RAW, RESCALED, MOMENTUM)
    }
    holds = all(
        widths[inverse, update] >= 2 * widths[inverse, RAW]
        for inverse in INVERSES
        for update in (RESCALED, MOMENTUM)
    )
    return judged(
        "with re-scaling, with and without momentum, the update depends far less on γ",
        "section 6.4, figure 7",
        "for both inverses at least half of the best improvement is reached over at least twice as "
        "many decades of γ as without",
        holds,
        {f"{NAMES[i]}: decades, {update}": width for (i, update), width in widths.items()},
        n,
        note,
    )


def _momentum(curves: Curves, n: int, note: str) -> Finding:
    holds, numbers = True, {}
    for inverse in INVERSES:
        without, momentum = curves[inverse, RESCALED].best, curves[inverse, MOMENTUM].best
        holds &= momentum.improvement >= without.improvement
        numbers[f"{NAMES[inverse]}: best improvement without momentum"] = without.improvement
        numbers[f"{NAMES[inverse]}: best improvement with momentum"] = momentum.improvement
    return judged(
        "with momentum the update is at least as good as without",
        "section 7, figure 7",
        "for both inverses its best improvement over γ is at least as large",
        holds,
        numbers,
        n,
        note,
    )


def _tridiagonal(curves: Curves, n: int, note: str) -> Finding:
    holds, numbers = True, {}
    for update in (RESCALED, MOMENTUM):
        tridiagonal, diagonal = (curves[inverse, update].best.improvement for inverse in INVERSES)
        holds &= tridiagonal >= diagonal
        numbers[f"best improvement, F̂⁻¹, {update}"] = tridiagonal
        numbers[f"best improvement, F̆⁻¹, {update}"] = diagonal
        numbers[f"F̂⁻¹ / F̆⁻¹, {update}"] = tridiagonal / diagonal
    return judged(
        "an update by the block-tridiagonal inverse is at least as good as one by the "
        "block-diagonal inverse",
        "sections 4.4 and 13; figure 7 says only that its network was trained by the former",
        "its best improvement over γ is at least as large, with and without momentum",
        holds,
        numbers,
        n,
        note,
    )


def _model_chooses_gamma(curves: Curves, n: int, note: str) -> Finding:
    holds, numbers = True, {}
    for inverse in INVERSES:
        for update in (RESCALED, MOMENTUM):
            each = curves[inverse, update]
            part = each.best_by_model.improvement / each.best.improvement
            holds &= part >= 0.9
            numbers[f"{NAMES[inverse]}: γ of the lowest M(δ), {update}"] = each.best_by_model.gamma
            numbers[f"{NAMES[inverse]}: part of the best improvement, {update}"] = part
    return judged(
        "M(δ) is a good measure of γ, with results similar to those of h(θ + δ)",
        "section 6.6",
        "for both inverses, with and without momentum, the γ with the lowest M(δ) gives at least "
        "90 % of the best improvement",
        holds,
        numbers,
        n,
        note,
    )
