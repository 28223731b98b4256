"""Command lines that are mostly wrong, the same ones for both trees."""

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.command_lines import command_lines
from tests.config.test_wrong_values import ERRORS

GENERATED = 180  # of which some are the same


def bad_lines() -> list[list[str]]:
    """Every wrong setting of the tests, and a sample of odd and absurd command lines."""
    return [*(list(overrides) for overrides, _ in ERRORS), *_generated()]


def _generated() -> list[list[str]]:
    found: dict[tuple[str, ...], None] = {}  # in order, each once

    @seed(0)
    @settings(
        max_examples=GENERATED,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(command_lines)
    def collect(words: list[str]) -> None:
        found[tuple(words)] = None

    collect()
    return [list(words) for words in found]
