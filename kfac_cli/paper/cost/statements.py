"""The paper's statements about the cost of an iteration, in numbers."""

import math
from collections.abc import Callable, Sequence

from kfac_cli.paper.cost.comparison import Comparison
from kfac_cli.paper.cost.formula import inverses, inverses_by_formula
from kfac_cli.paper.statement import Statement
from kfac_cli.paper.study import Finding

Numbers = dict[str, float | int | str]

MUCH_LARGER = 5
"""m is much larger than d if it is so many times the widest layer."""


def _as_predicted(ratio: float) -> bool:
    return 0.8 <= ratio <= 1.25


BAND = "the median over the sizes is from 0.8 to 1.25"

FORMULA = Statement(
    "an average iteration of K-FAC costs what the formula says",
    "section 8",
    "predicted over measured seconds of an iteration",
    "rough estimates, about 1",
    BAND,
    _as_predicted,
)
RELATIVE = Statement(
    "in iterations of SGD, an average iteration of K-FAC costs what the formulas of both say",
    "section 8",
    "predicted over measured ratio of K-FAC to SGD",
    "rough estimates, about 1",
    BAND,
    _as_predicted,
)
REFRESHING = Statement(
    "new inverses, task 5, cost what the formula says",
    "section 8",
    "predicted over measured seconds of task 5",
    "rough estimates, about 1",
    BAND,
    _as_predicted,
)
OVERHEAD = Statement(
    "with large mini-batches an iteration of K-FAC costs only moderately more than one of SGD",
    "from the formula of section 8",
    "seconds of K-FAC over those of SGD at the largest m",
    "1.25 to 1.71 for the terms in m of the formula",
    "it is 2 or less",
    lambda ratio: ratio <= 2,
)
FALLING = Statement(
    "the larger the mini-batch, the less K-FAC costs in units of SGD",
    "from the formula of section 8",
    "K-FAC over SGD at the largest m, over the same at the smallest",
    "below 1, since tasks 5 and 6 do not grow with m",
    "it is below 1",
    lambda ratio: ratio < 1,
)
NEGLIGIBLE = Statement(
    "with m much larger than d the inverse and its products, tasks 5 and 6, cost a negligible part",
    "section 8",
    "share of tasks 5 and 6 in an iteration at the largest m",
    "negligible",
    "it is 0.1 or less",
    lambda share: share <= 0.1,
)
INVERSION = Statement(
    "inverting costs several times as much as multiplying: C₃ and C₄ exceed C₅ and C₆",
    "section 8",
    "C₃ over C₅, or C₄ over C₆",
    "at least several times, much larger",
    "the median over the sizes is 3 or more",
    lambda ratio: ratio >= 3,
)
NOT_IN_FORMULA = (
    "C₁ and C₂ are those of SGD's iterations, the others those of K-FAC's first ones. In no task "
    "are the drawing of mini-batches, element-wise functions and inner products."
)
TWO_MORE = (
    "A search for γ needs an inverse for each of its three candidates (section 6.6), so there are "
    "1/T₃ + 2/T₂ in an iteration on average; the formula has (1 + 2/T₂)/T₃."
)

TRIDIAGONAL = Statement(
    "a block-tridiagonal iteration costs more than a block-diagonal one",
    "section 13, figure 10",
    "seconds of a block-tridiagonal over those of a block-diagonal iteration",
    "above 1, by SVDs in place of matrix inverses",
    "the median over the sizes is above 1",
    lambda ratio: ratio > 1,
)


def findings(compared: Sequence[Comparison]) -> list[Finding]:
    """What the comparisons of all sizes and inverses say."""
    by_inverse: dict[str, list[Comparison]] = {}
    for each in sorted(compared, key=lambda each: each.cases):
        by_inverse.setdefault(each.inverse, []).append(each)
    return [
        finding for inverse, own in by_inverse.items() for finding in _of_inverse(inverse, own)
    ] + [_tridiagonal(by_inverse)]


def _of_inverse(inverse: str, own: Sequence[Comparison]) -> list[Finding]:
    smallest, largest = own[0], own[-1]
    rejected = _rejected(own)
    ratios = _at_each(own, "predicted over measured seconds", lambda each: each.accuracy)
    rest = _at_each(own, "share in no task", lambda each: each.measured.rest / each.measured.whole)
    overheads = _at_each(own, "K-FAC over SGD", lambda each: each.overhead)
    formula = _at_each(own, "K-FAC over SGD by the formula", lambda each: each.predicted_overhead)
    constants = [each.constants for each in own]
    falling = [largest.overhead / smallest.overhead] if len(own) > 1 else []
    one_size = "" if falling else "There is only one size."
    return [
        FORMULA.finding(
            [each.accuracy for each in own], inverse, {**ratios, **rest, **rejected}, NOT_IN_FORMULA
        ),
        RELATIVE.finding(
            [each.predicted_overhead / each.overhead for each in own],
            inverse,
            {**overheads, **formula, **rejected},
        ),
        _refreshing(inverse, own),
        _at_large_sizes(OVERHEAD, inverse, largest, largest.overhead, {**overheads, **rejected}),
        FALLING.finding(falling, inverse, {**overheads, **rejected}, one_size),
        _at_large_sizes(NEGLIGIBLE, inverse, largest, _share_of_inverses(largest)),
        INVERSION.finding([_ratio(c.factorisation, c.product) for c in constants], inverse),
    ]


def _refreshing(inverse: str, own: Sequence[Comparison]) -> Finding:
    settings = own[0].kfac.settings
    numbers: Numbers = {
        "inverses of an average iteration": inverses(settings),
        "inverses by the formula": inverses_by_formula(settings),
        **_rejected(own),
    }
    ratios = [_ratio(each.predicted[5], each.measured.tasks[5]) for each in own]
    note = TWO_MORE if settings.t2 is not None else ""
    return REFRESHING.finding(ratios, inverse, numbers, note)


def _at_large_sizes(
    statement: Statement,
    inverse: str,
    largest: Comparison,
    value: float,
    more: Numbers | None = None,
) -> Finding:
    """What the largest m says about an m much larger than d; nothing unless it is one."""
    widest = max(max(p, q - 1) for p, q in largest.shapes)
    numbers: Numbers = {"largest m": largest.cases, "widest layer": widest, **(more or {})}
    if largest.cases < MUCH_LARGER * widest:
        note = f"No m is {MUCH_LARGER} times as large as the widest layer."
        return statement.finding([], inverse, numbers, note)
    return statement.finding([value], inverse, numbers)


def _share_of_inverses(each: Comparison) -> float:
    return (each.measured.tasks[5] + each.measured.tasks[6]) / each.measured.whole


def _tridiagonal(by_inverse: dict[str, list[Comparison]]) -> Finding:
    tridiagonal, diagonal = by_inverse["block-tridiagonal"], by_inverse["block-diagonal"]
    ratios = {
        own.cases: own.measured.whole / other.measured.whole
        for own, other in zip(tridiagonal, diagonal, strict=True)
    }
    numbers: Numbers = {f"ratio at m = {cases:,}": ratio for cases, ratio in ratios.items()}
    rejected = _rejected([*tridiagonal, *diagonal])
    return TRIDIAGONAL.finding(list(ratios.values()), "", {**numbers, **rejected})


def _ratio(over: float, under: float) -> float:
    """Their ratio; nan where nothing was measured, as for inverses from the background."""
    return over / under if under else math.nan


def _at_each(own: Sequence[Comparison], name: str, value: Callable[[Comparison], float]) -> Numbers:
    return {name: ", ".join(f"{value(each):.3g} at m = {each.cases:,}" for each in own)}


def _rejected(own: Sequence[Comparison]) -> Numbers:
    """Iterations that took no step, which cost something else than the formula says."""
    count = sum(each.measured.rejections for each in own)
    return {"iterations that took no step": count} if count else {}
