"""The progress display: live on a terminal, never wider than it; plain lines elsewhere."""

import io
import logging
import math
import os
import pty
import re
import sys
import termios

import pytest

from kfac_cli.recording.progress import Progress
from kfac_cli.recording.values import significant

ROW = {
    "iteration": 1,
    "batch_size": 103_500,
    "error": 1.23456e17,
    "objective": 941.3253,
    "alpha": 36.123,
    "mu": -1.0123,
    "rho": 1.8888,
    "lambda": 1.2345e-132,
    "gamma": 0.0031622,
}
EVALUATION = {
    "iteration": 25,
    "train_error": 49.08,
    "train_error_average": 49.081,
    "test_error": 49.12,
    "test_error_average": math.nan,
}
TITLE = "CURVES, block-tridiagonal K-FAC"


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True

    def lines(self):
        """Every line ever written, control sequences removed."""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())
        return [line.rstrip() for line in re.split(r"[\r\n]+", plain) if line.strip()]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=[80, 140])
def width(request, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.setenv("LINES", "30")
    monkeypatch.setenv("TERM", "xterm")
    return request.param


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


def test_plain_lines_say_where_the_run_is(clock):
    stream = io.StringIO()
    progress = Progress(300, stream, clock)
    progress.message("loading")
    progress.start("curves, kfac_tridiag")
    clock.now += 65
    progress.iteration(ROW, lambda: 3599.6)
    progress.evaluation(EVALUATION)
    progress.close()
    assert stream.getvalue().splitlines() == [
        "loading",
        "curves, kfac_tridiag: 300 iterations",
        "iteration 1/300  batch 103500  error 1.235e+17  lambda 1.234e-132  gamma 0.003162"
        "  alpha 36.12  mu -1.012  rho 1.889  objective 941.3  1:05 elapsed, 1:00:00 left",
        "evaluation at iteration 25: training error 49.08, averaged 49.08, test error 49.12,"
        " averaged nan",
    ]


def test_plain_lines_are_at_least_ten_seconds_apart_but_for_the_last(clock):
    stream = io.StringIO()
    progress = Progress(30, stream, clock)
    progress.start("title")
    asked = []
    for iteration in range(1, 31):
        clock.now += 1
        progress.iteration({"iteration": iteration}, lambda: asked.append(clock.now))
    shown = re.findall(r"iteration (\d+)/30", stream.getvalue())
    assert shown == ["1", "11", "21", "30"]
    assert len(asked) == len(shown)


def test_values_that_are_missing_or_not_finite_are_marked(clock):
    stream = io.StringIO()
    progress = Progress(2, stream, clock)
    row = {"iteration": 1, "error": math.nan, "alpha": math.inf, "mu": None}
    progress.iteration(row, lambda: math.inf)
    assert stream.getvalue() == "iteration 1/2  error nan  alpha inf  0:00 elapsed, -:-- left\n"


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(monkeypatch, clock, term):
    monkeypatch.setenv("TERM", term or "dumb")
    stream = Terminal()
    with Progress(2, stream, clock) as progress:
        progress.start("title")
        progress.iteration(ROW, lambda: None)
    assert "\x1b" not in stream.getvalue()


def test_forced_colours_do_not_make_a_file_a_terminal(monkeypatch, clock):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    with Progress(2, stream, clock) as progress:
        progress.start("title")
    assert stream.getvalue() == "title: 2 iterations\n"


def test_the_live_display_shows_everything_and_never_wraps(width, clock):
    terminal = Terminal()
    with Progress(100_000, terminal, clock) as progress:
        progress.start(TITLE)
        clock.now += 3661
        progress.iteration({**ROW, "iteration": 99_999}, lambda: 3600.0)
        progress.evaluation(EVALUATION)
        progress.evaluation({"iteration": 50})
    lines = terminal.lines()
    assert max(map(len, lines)) <= width
    assert "running the first iteration" in lines[1]
    bar, values = lines[-2:]
    assert bar.startswith("CURVES, block-tridi")
    assert bar.endswith("99999/100000 1:01:01, 1:00:00 left")
    assert re.sub(" +", " ", values).startswith(
        "batch 103500 error 1.235e+17 λ 1.234e-132 γ 0.003162 α 36.12 μ -1.012"
    )
    assert ("objective 941.3" in values) == (width == 140)
    assert [line for line in lines if line.startswith("iteration")] == [
        "iteration training error   averaged   test error   averaged      time"
    ]
    assert "       25          49.08      49.08        49.12        nan   1:01:01" in lines
    assert "       50              -          -            -          -   1:01:01" in lines


@pytest.mark.parametrize(
    ("columns", "heading", "row"),
    [
        (
            64,
            "iteration training error   averaged   test error      time",
            "       25          49.08      49.08        49.12      0:00",
        ),
        (40, "iteration training error      time", "       25          49.08      0:00"),
        (20, "iteration      time", "       25      0:00"),
    ],
)
def test_a_narrow_terminal_gets_the_columns_that_fit(monkeypatch, clock, columns, heading, row):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with Progress(9, terminal, clock) as progress:
        progress.start(TITLE)
        progress.evaluation(EVALUATION)
    lines = terminal.lines()
    assert heading in lines
    assert row in lines


def test_a_terminal_that_changes_its_width_gets_another_heading(terminal, clock, monkeypatch):
    columns = 80
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((columns, 30)))
    with Progress(9, terminal, clock) as progress:
        progress.start(TITLE)
        progress.evaluation(EVALUATION)
        columns = 40
        progress.evaluation(EVALUATION)
        progress.evaluation(EVALUATION)
    assert [line for line in terminal.lines() if line.startswith("iteration ")] == [
        "iteration training error   averaged   test error   averaged      time",
        "iteration training error      time",
    ]


def test_a_long_message_breaks_between_words_and_a_path_stays_whole(terminal, clock):
    path = "outputs/" + "x" * 90
    with Progress(9, terminal, clock) as progress:
        progress.start(TITLE)
        progress.message(f"{'word ' * 30}starts from {path}")
    lines = terminal.lines()
    assert " ".join(["word"] * 16) in lines
    assert path in lines


def test_the_end_is_told_in_the_width_of_the_terminal(tmp_path, monkeypatch, clock):
    primary, secondary = pty.openpty()
    with open(secondary, "w") as terminal:
        termios.tcsetwinsize(secondary, (30, 40))
        monkeypatch.setattr(sys, "stdout", terminal)
        with Progress(9, io.StringIO(), clock) as progress:
            progress.ended({"title": TITLE, "status": "finished", "iterations": 9}, tmp_path)
    printed = os.read(primary, 10_000).decode()
    os.close(primary)
    assert printed.startswith(
        "CURVES, block-tridiagonal K-FAC:\r\n  finished after 9 iterations\r\n"
    )


def test_a_value_known_at_some_iterations_only_stays_in_its_place(terminal, clock):
    with Progress(9, terminal, clock) as progress:
        progress.start(TITLE)
        progress.iteration({"iteration": 1, "error": 5.0, "rho": 1.5, "mu": None}, lambda: None)
        progress.iteration({"iteration": 2, "error": 4.0, "rho": None, "mu": 0.5}, lambda: None)
    assert terminal.lines()[-1].split() == ["error", "4.000", "μ", "0.5000", "ρ", "1.500"]


def test_time_left_runs_down_between_reports(terminal, clock):
    with Progress(9, terminal, clock) as progress:
        progress.start(TITLE)
        progress.iteration({"iteration": 1}, lambda: 60.0)
        clock.now += 45
    assert terminal.lines()[-2].endswith("1/9 0:45, 0:15 left")


def test_the_time_left_is_estimated_once_a_frame_and_at_the_end(terminal, clock):
    asked = []
    with Progress(9, terminal, clock) as progress:
        progress.start(TITLE)
        for iteration in range(1, 10):
            progress.iteration({"iteration": iteration}, lambda i=iteration: asked.append(i))
            clock.now += 0.0625
    assert asked == [1, 5, 9]


def test_a_terminal_without_greek_letters_gets_names(terminal, clock):
    terminal.encoding = "ascii"
    with Progress(9, terminal, clock) as progress:
        progress.start(TITLE)
        progress.iteration(ROW, lambda: None)
    values = terminal.lines()[-1]
    assert values.isascii()
    assert "lambda 1.234e-132  gamma 0.003162" in values


def test_messages_and_log_records_appear_above_the_display(terminal, clock):
    handler = logging.StreamHandler(terminal)
    logging.getLogger().addHandler(handler)
    try:
        with Progress(9, terminal, clock) as progress:
            progress.start(TITLE)
            progress.message("[red]saved[/red] what was done")
            logging.getLogger("engine").warning("factorisation failed")
        assert handler.stream is terminal
    finally:
        logging.getLogger().removeHandler(handler)
    lines = terminal.lines()
    assert "[red]saved[/red] what was done" in lines
    assert "Warning: factorisation failed" in lines
    assert lines[-2].startswith("CURVES")


def test_a_long_warning_is_one_line_that_refers_to_the_log(terminal, clock):
    handler = logging.StreamHandler(terminal)
    logging.getLogger().addHandler(handler)
    try:
        with Progress(9, terminal, clock) as progress:
            progress.start(TITLE)
            progress.evaluation(EVALUATION)
            logging.getLogger("engine").warning("iteration 7 is rejected: %s", "reasons " * 20)
            progress.evaluation(EVALUATION)
    finally:
        logging.getLogger().removeHandler(handler)
    lines = terminal.lines()
    assert max(map(len, lines)) <= 80
    [place] = [i for i, line in enumerate(lines) if line.startswith("Warning: iteration 7 is")]
    assert lines[place].endswith("…")
    rows = [line for line in lines if line.startswith("       25 ")]
    assert len(rows) == 2
    assert "run.log has the warnings above in full" in lines


def test_what_runs_besides_the_iterations_is_named_with_its_progress(terminal, clock):
    shown = []
    with Progress(9, terminal, clock) as progress:
        progress.start(TITLE)
        for action in (
            lambda: progress.activity("generating CURVES", 5_000, 20_000),
            lambda: progress.activity("calibrating lambda"),
            lambda: progress.iteration(ROW, lambda: None),
            lambda: progress.activity("evaluating", 1, 3),
            lambda: progress.activity(""),
        ):
            action()
            progress._display._live.refresh()
            shown.append(terminal.lines()[-1])
    assert shown[0] == "generating CURVES: 25 %"
    assert shown[1] == "calibrating lambda"
    assert shown[2].startswith("batch 103500")
    assert shown[3] == "evaluating: 33 %"
    assert shown[4].startswith("batch 103500")


def test_plain_lines_name_what_takes_long(clock):
    stream = io.StringIO()
    progress = Progress(300, stream, clock)
    progress.start("title")
    for second in range(25):
        clock.now += 1
        progress.activity("building FACES", second, 25)
    progress.activity("")
    assert stream.getvalue().splitlines()[1:] == ["building FACES: 36 %", "building FACES: 76 %"]


def test_output_to_a_file_is_not_redirected(terminal, clock, capsys):
    with Progress(9, terminal, clock) as progress:
        progress.start(TITLE)
        print("a result")
        print("an error", file=sys.stderr)
    captured = capsys.readouterr()
    assert captured.out == "a result\n"
    assert captured.err == "an error\n"
    assert "a result" not in terminal.getvalue()


def test_closing_restores_the_cursor_and_may_be_repeated(terminal, clock):
    progress = Progress(9, terminal, clock)
    progress.close()
    progress.start(TITLE)
    progress.close()
    progress.close()
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l")
    assert terminal.getvalue().endswith("\n") or terminal.getvalue().endswith("\x1b[?25h")


def test_a_zero_has_no_sign():
    assert [significant(value) for value in (0.0, -0.0, -0.5)] == ["0.000", "0.000", "-0.5000"]
