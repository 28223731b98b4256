"""What stopping needs: the evaluations and the clocks of a run, whatever records them."""

import pytest

from kfac_cli.run import history as module
from kfac_cli.run.history import History


@pytest.fixture
def now(monkeypatch):
    """A clock that the test sets."""
    clock = {"now": 1000.0}
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock["now"])

    def wait(seconds):
        clock["now"] += seconds

    return wait


def test_time_is_counted_as_a_whole_and_in_parts(now):
    history = History()
    for part, seconds in (("optimizer", 4.0), ("logging", 0.5), ("optimizer", 2.0)):
        now(1.0)
        with history.clock(part):
            now(seconds)
    assert history.seconds == 9.5
    assert history.times() == {
        "seconds": 9.5,
        "optimizer_seconds": 6.0,
        "evaluation_seconds": 0.0,
        "logging_seconds": 0.5,
    }


def test_a_part_that_is_not_over_counts_up_to_now(now):
    history = History()
    with history.clock("logging"):
        now(0.25)
        assert history.times()["logging_seconds"] == 0.25
    assert history.times()["logging_seconds"] == 0.25


def test_the_time_of_a_part_that_raises_counts(now):
    history = History()
    with pytest.raises(KeyboardInterrupt), history.clock("optimizer"):
        now(3.0)
        raise KeyboardInterrupt
    assert history.times()["optimizer_seconds"] == 3.0


def test_a_resumed_run_continues_its_times(now):
    first = History()
    with first.clock("evaluation"):
        now(2.0)
    times = first.times()
    now(3600.0)
    second = History(times)
    now(1.0)
    assert second.times() == times | {"seconds": 3.0}


def test_the_time_of_a_process_leaves_out_what_came_before_it(now):
    history = History({"seconds": 100.0})
    now(2.0)
    assert (history.process_seconds, history.seconds) == (2.0, 102.0)


def test_the_latest_evaluation_is_the_last_row(now):
    history = History()
    assert history.latest_evaluation is None
    history.evaluations += [{"iteration": 5}, {"iteration": 10}]
    assert history.latest_evaluation == {"iteration": 10}
