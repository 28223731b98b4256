"""The errors in the table of options."""

from benchmarks.compare_options import within

ROWS = [{"error": float(error), "optimizer_seconds": 10.0 * k} for k, error in enumerate((5, 4, 3))]


def test_the_error_after_some_seconds_is_that_of_the_last_iterations_in_them():
    assert within(ROWS, 20) == "4"
    assert within(ROWS, 15) == "4.5"


def test_a_run_that_ended_before_has_no_error_at_those_seconds():
    assert within(ROWS, 60) == "– (20 s)"
