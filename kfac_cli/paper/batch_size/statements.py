"""The statements of section 13 about figure 9, in numbers."""

from collections.abc import Callable, Mapping, Sequence

from kfac_cli.paper.batch_size.exponent import Exponent
from kfac_cli.paper.batch_size.plan import (
    BASELINE,
    DIAGONAL,
    NO_MOMENTUM,
    TRIDIAGONAL,
    Plan,
)
from kfac_cli.paper.statement import Statement
from kfac_cli.paper.study import Finding

QUANTITY = "exponent of m in the progress per iteration"
SOURCE = "section 13, figure 9"


def _superlinear(which: str) -> Statement:
    return Statement(
        f"{which} K-FAC with momentum makes progress per iteration that is superlinear in the "
        "mini-batch size m, in later stages",
        SOURCE,
        QUANTITY,
        "superlinear: an exponent above 1",
        "the median is above 1",
        lambda exponent: exponent > 1,
    )


def _other(text: str, paper: str, rule: str, holds: Callable[[float], bool]) -> Statement:
    return Statement(text, SOURCE, QUANTITY, paper, rule, holds)


STATEMENTS: tuple[tuple[str, Statement], ...] = (
    (TRIDIAGONAL, _superlinear("block-tridiagonal")),
    (DIAGONAL, _superlinear("block-diagonal")),
    (
        NO_MOMENTUM,
        _other(
            "without momentum K-FAC's progress per iteration is linear in m or slightly sublinear",
            "an exponent of 1 or slightly less",
            "the median is from 0.7 to 1.05",
            lambda exponent: 0.7 <= exponent <= 1.05,
        ),
    ),
    (
        BASELINE,
        _other(
            "m has a much smaller effect on the baseline's progress per iteration",
            "an exponent much below those of K-FAC",
            "the median is 0.5 or less",
            lambda exponent: exponent <= 0.5,
        ),
    ),
)
"""Each with the method that it is about."""


def findings(found: Mapping[str, Sequence[Sequence[Exponent]]], plan: Plan) -> list[Finding]:
    """What the exponents of each method, a sequence for each seed, say about each statement."""
    return [_finding(name, statement, found[name], plan) for name, statement in STATEMENTS]


def _finding(
    method: str, statement: Statement, found: Sequence[Sequence[Exponent]], plan: Plan
) -> Finding:
    every = [exponent for seed in found for exponent in seed]
    numbers: dict[str, float | int | str] = {
        "sizes": " ".join(map(str, plan.sizes)),
        "seeds": sum(map(bool, found)),
    }
    if every:
        last = min(every, key=lambda exponent: exponent.error)
        numbers |= {
            f"iterations to error {last.error:.3g}": " ".join(f"{x:.0f}" for x in last.iterations),
            f"cases to error {last.error:.3g}": " ".join(f"{x:.3g}" for x in last.cases),
        }
    note = _where(method, plan) if every else "The runs of all sizes share no error."
    return statement.finding([each.value for each in every], plan.problem, numbers, note)


def _where(method: str, plan: Plan) -> str:
    """From where the runs of a method count, which the errors that they reach depend on."""
    first = plan.first_iteration(method)
    start = f"iteration {first} of K-FAC" if first else "the initial parameters"
    return f"Its runs start from {start}."
