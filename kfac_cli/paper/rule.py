"""A finding by a rule that decides between confirmed and not confirmed."""

from collections.abc import Mapping

from kfac_cli.paper.study import Finding, Verdict


def judged(
    statement: str,
    source: str,
    rule: str,
    holds: bool,
    numbers: Mapping[str, float | int | str],
    n: int = 1,
    note: str = "",
) -> Finding:
    """The finding; `rule` says in words what `holds` is, and begins the finding's note."""
    verdict = Verdict.CONFIRMED if holds else Verdict.NOT_CONFIRMED
    return Finding(statement, source, verdict, numbers, n, f"Confirmed if {rule}. {note}".strip())
