"""Text in the width of a terminal: lines break between words, and commands stay whole."""

import io
import os
import pty
import termios

import pytest

from kfac_cli.recording.layout import (
    command_with_purpose,
    described,
    terminal_width,
    wrapped,
)


@pytest.fixture
def terminal():
    """A function that returns a terminal of so many columns as a stream."""
    opened = []

    def of(columns):
        primary, secondary = pty.openpty()
        termios.tcsetwinsize(secondary, (30, columns))
        opened.append((primary, os.fdopen(secondary, "w")))
        return opened[-1][1]

    yield of
    for primary, stream in opened:
        stream.close()
        os.close(primary)


@pytest.mark.parametrize(("columns", "expected"), [(40, 40), (80, 80), (200, 80), (0, 80)])
def test_text_has_the_width_of_the_terminal_and_at_most_80(terminal, columns, expected):
    assert terminal_width(terminal(columns)) == expected


def test_what_is_no_terminal_has_80_columns(tmp_path):
    assert terminal_width(io.StringIO()) == 80
    with open(tmp_path / "file", "w") as file:
        assert terminal_width(file) == 80


def test_a_line_breaks_between_words_and_a_long_word_stays_whole():
    assert wrapped("one two three", 2, 8) == ["one two", "  three"]
    assert wrapped("a extraordinary", 2, 5) == ["a", "  extraordinary"]
    assert wrapped("one two", 2, 0) == ["one", "  two"]


def test_descriptions_stand_beside_their_names_or_below_them():
    pairs = [("a.csv", "the first of two tables"), ("long.csv", "the other"), ("notes", "")]
    assert described(pairs, 2, 42) == [
        "  a.csv     the first of two tables",
        "  long.csv  the other",
        "  notes",
    ]
    assert described([("a.csv", "a description of words " * 2)], 2, 40) == [
        "  a.csv  a description of words a",
        "         description of words",
    ]
    assert described(pairs, 2, 24) == [
        "  a.csv",
        "    the first of two",
        "    tables",
        "  long.csv",
        "    the other",
        "  notes",
    ]


def test_the_purpose_of_a_command_stands_below_it_where_the_line_is_too_long(terminal):
    command = "kfac-run resume=outputs/mine"
    beside, below = f"  {command}  continues from here", f"  {command}\n    continues from here"
    assert command_with_purpose(command, "continues from here", io.StringIO()) == beside
    assert command_with_purpose(command, "continues from here", terminal(len(beside))) == beside
    assert command_with_purpose(command, "continues from here", terminal(len(beside) - 1)) == below
