"""How a value is shown in a message: on one short line, whatever it is."""

import pytest

from kfac_cli.errors import shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("two words", "two words"),
        ("", '""'),
        (" padded", '" padded"'),
        ("line\nbreak", '"line\\nbreak"'),
        ([1, [None, "a"]], "[1,[null,a]]"),
        ("x" * 100, "x" * 57 + "..."),
        ("\udcff", '"\\udcff"'),
    ],
)
def test_a_value_is_shown_on_one_short_line(value, text):
    assert shown(value) == text
